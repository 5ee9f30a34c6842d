"""What an `nfs` resource exports, and to whom.

Invariant: an export's fsid follows from its path alone, so that a client's file handles mean the same on
every node, whatever else is exported and in whatever order.
"""

from __future__ import annotations

import posixpath
import re
import uuid
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from agent.config.errors import BadParameter

_CLIENT = re.compile(r"([^()\s]+?)(?:\(([^()\s]*)\))?")
_EVERYBODY = "*"


@dataclass(frozen=True)
class Export:
    """One directory for one client or network of clients."""

    path: str
    client: str  # a network, "10.0.0.0/16", or "*"
    options: str  # as for exportfs -o

    @property
    def argument(self) -> str:
        """What exportfs(8) calls it; an IPv6 address stands in brackets."""
        address, slash, length = self.client.partition("/")
        return f"{f'[{address}]' if ':' in address else address}{slash}{length}:{self.path}"

    @property
    def fsid(self) -> str:
        """What stands for the filesystem in every file handle."""
        return next(
            word.removeprefix("fsid=") for word in self.options.split(",") if word.startswith("fsid=")
        )


@dataclass(frozen=True, kw_only=True)
class NfsParameters:
    """The `nfs` kit's parameters."""

    exports: Annotated[
        tuple[str, ...],
        Meta(
            description="Each as a line of exports(5): a directory of the protected filesystem, made when it "
            "is missing, then its clients with their options. A client is an address, a network or *; names "
            "would need DNS at a failover. Added where nothing else is said: no_subtree_check, and an fsid "
            "made of the path.",
            min_length=1,
            examples=["/mnt/DIR1/share 10.0.1.0/24(rw) 10.0.4.0/24(ro)"],
        ),
    ]
    state: Annotated[
        Path,
        Meta(
            description="A directory of the protected filesystem, made when it is missing: which clients "
            "the server has, so that they get their locks back on another node. Best not inside an export."
        ),
    ]
    threads: Annotated[int, Meta(description="How many requests are served at a time.", ge=1, le=4_096)] = 8
    lease_ms: Annotated[
        int,
        Meta(
            description="How long a client may be silent before others may have its locks; whole seconds.",
            ge=10_000,
            le=3_600_000,
        ),
    ] = 15_000
    grace_ms: Annotated[
        int,
        Meta(
            description="How long, after a takeover, nothing new can be opened or locked while clients claim "
            "what they had; at least `lease`. It ends sooner once every client is done.",
            ge=10_000,
            le=3_600_000,
        ),
    ] = 15_000

    def __post_init__(self) -> None:
        for key, duration_ms in (("lease", self.lease_ms), ("grace", self.grace_ms)):
            if duration_ms % 1_000:
                raise BadParameter(key, "the kernel takes whole seconds")
        if self.grace_ms < self.lease_ms:
            raise BadParameter("grace", "is below lease: a client that is idle would notice too late")
        if str(self.state) != posixpath.normpath(self.state) or self.state == Path("/"):
            raise BadParameter("state", f"{self.state}: write the plain path of a directory other than /")
        _check(self.each_export())

    def each_export(self) -> list[Export]:
        """One for each client of each directory; raises BadParameter."""
        return [export for line in self.exports for export in _read(line)]


def _read(line: str) -> list[Export]:
    path, *clients = line.split() or [""]
    if not path.startswith("/") or path != posixpath.normpath(path) or path == "/":
        raise BadParameter(
            "exports", f"{line!r} doesn't begin with the plain path of a directory other than /"
        )
    if not clients:
        raise BadParameter("exports", f"{path} has no client: write for example {path} 10.0.0.0/16(rw)")
    return [Export(path, *_read_client(path, client)) for client in clients]


def _read_client(path: str, text: str) -> tuple[str, str]:
    found = _CLIENT.fullmatch(text)
    if found is None:
        raise BadParameter("exports", f"{text!r} is not a client: write for example 10.0.0.0/16(rw)")
    name, options = found[1], [word for word in (found[2] or "").split(",") if word]
    if "async" in options:
        raise BadParameter("exports", f"{path} with async would lose what was acknowledged; leave it out")
    if not {"subtree_check", "no_subtree_check"} & set(options):
        options.append("no_subtree_check")
    if not any(word.startswith("fsid=") for word in options):
        options.append(f"fsid={uuid.uuid5(uuid.NAMESPACE_URL, f'file://{path}')}")
    if name == _EVERYBODY:
        return name, ",".join(options)
    try:
        network = ip_network(name)
    except ValueError as problem:
        raise BadParameter("exports", f"{name} is no address, network or *: {problem}") from problem
    # An address alone would be looked up in DNS: exportfs(8) wants its name.
    return str(network), ",".join(options)


def _check(exports: list[Export]) -> None:
    clients: set[tuple[str, str]] = set()
    paths: dict[str, str] = {}  # by fsid
    fsids: dict[str, str] = {}  # by path
    for export in exports:
        if (export.path, export.client) in clients:
            raise BadParameter("exports", f"{export.path} is exported to {export.client} twice")
        clients.add((export.path, export.client))
        if (other := paths.setdefault(export.fsid, export.path)) != export.path:
            raise BadParameter("exports", f"{other} and {export.path} have the same fsid")
        if fsids.setdefault(export.path, export.fsid) != export.fsid:
            raise BadParameter("exports", f"{export.path} has two fsids")
