"""One mirror, as this node is told of it: names, addresses, times. All of it is configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from recovery_kits.contract import Tools
from recovery_kits.mirror.array import array_uuid
from recovery_kits.mirror.parameters import MirrorParameters


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a mirror is, and between whom."""

    tag: str
    node: str  # this one
    uuid: UUID  # of the array
    name: str
    disk: str  # this node's, a path
    port: int
    own_addresses: tuple[str, ...]
    peers: Mapping[str, tuple[str, ...]]  # the other nodes -> addresses, the best first
    dead_after_ms: int  # how long a leg may hold writes up
    runtime: Path
    slow_after_ms: int  # a disk that takes so long for an answer is too slow
    mode: str = "sync"
    drops_slow: bool = False  # another node's, if it is too slow

    @classmethod
    def of(cls, parameters: MirrorParameters, tools: Tools) -> Place:
        """What the kit was given, put together."""
        site = tools.site
        return cls(
            tag=tools.tag,
            node=tools.node,
            uuid=array_uuid(site.cluster, tools.tag),
            name=parameters.name or tools.tag,
            disk=str(parameters.disk),
            port=parameters.port,
            own_addresses=site.nodes.get(tools.node, ()),
            peers={node: found for node, found in site.nodes.items() if node != tools.node},
            dead_after_ms=site.dead_after_ms,
            runtime=site.runtime_dir / "mirror",
            mode=parameters.mode,
            slow_after_ms=parameters.slow_after_ms,
            drops_slow=parameters.slow_target == "drop",
        )

    @property
    def disk_name(self) -> str:
        """The disk's name in the kernel, such as "nvme1n1"; looked up each time, for links can change."""
        return Path(os.path.realpath(self.disk)).name

    @property
    def device(self) -> str:
        """The mirror itself, where it is in service."""
        return f"/dev/md/{self.name}"

    def identifier(self, node: str) -> str:
        """What the kernel is told of a network block device, so that it is found again as ours."""
        return f"kagemusha/{self.uuid}/{node}"
