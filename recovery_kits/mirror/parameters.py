"""What the `mirror` kit is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.errors import BadParameter

_SMALLEST_CHUNK_KIB, _LARGEST_CHUNK_KIB = 4, 1 << 20


@dataclass(frozen=True, kw_only=True)
class MirrorParameters:
    """The `mirror` kit's parameters."""

    disk: Annotated[
        Path,
        Meta(
            description="The block device that holds this node's copy, whole: nothing else may use it. "
            "Name it so that it is found again after a restart.",
            examples=["/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"],
        ),
    ]
    name: Annotated[
        str | None,
        Meta(
            description="The mirror is /dev/md/NAME on the active node; left out: the resource's tag.",
            pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,30}$",
            examples=["dir1"],
        ),
    ] = None
    mode: Annotated[
        Literal["sync", "async"],
        Meta(
            description="sync: a write is answered when it is on the disk of every node that counts. async: "
            "when it is on this node's; the others follow in the same order, and what a node that fails had "
            "written last can be lost."
        ),
    ] = "sync"
    lag_most_bytes: Annotated[
        int,
        Meta(
            description="How much another node's copy may be behind in mode async, in bytes, before writes "
            "wait: the most that can be lost.",
            ge=1 << 20,
            le=1 << 30,
        ),
    ] = 64 << 20
    lag_within_ms: Annotated[
        int,
        Meta(
            description="For how long a write may be on its way in mode async before the next ones wait: "
            "what can be lost was written within it.",
            ge=100,
            le=60_000,
        ),
    ] = 5_000
    port: Annotated[
        int,
        Meta(
            description="The TCP port of this mirror's server (nbdkit), another for each mirror.",
            ge=1,
            le=65535,
        ),
    ] = 10_809
    bitmap_chunk_kib: Annotated[
        int,
        Meta(
            description="What one bit of the bitmap stands for, a power of two: the least that is copied "
            "for a block that changed while a node was away. It counts when the mirror is created.",
            ge=_SMALLEST_CHUNK_KIB,
            le=_LARGEST_CHUNK_KIB,
        ),
    ] = 64
    tls: Annotated[
        bool,
        Meta(
            description="What goes over the network between the nodes is encrypted, and both ends prove that "
            "they have the cluster's key (TLS 1.3); nothing else is needed for it."
        ),
    ] = False
    slow_target: Annotated[
        Literal["tell", "drop"],
        Meta(
            description="What is done about another node's copy that is slow by `slow_after`, and takes "
            "twice as long as this node's disk. tell: an alarm, and writes go on waiting for it. drop: they "
            "go on without it, and five minutes later it gets what it missed; until then it doesn't count."
        ),
    ] = "tell"
    slow_after_ms: Annotated[
        int,
        Meta(
            description="From what time for an answer on a disk counts as slow, here or on another node, on "
            "average of five seconds or more and at least six answers.",
            ge=10,
            le=60_000,
        ),
    ] = 500
    resync_limit: Annotated[
        int, Meta(description="How much a resync copies in a second at most, in bytes; 0: no limit.", ge=0)
    ] = 0

    def __post_init__(self) -> None:
        if self.bitmap_chunk_kib & (self.bitmap_chunk_kib - 1):
            raise BadParameter("bitmap_chunk_kib", f"{self.bitmap_chunk_kib} is no power of two: write 64")
