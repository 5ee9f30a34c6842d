"""What is mounted, as the kernel tells it. Reading this touches no mounted filesystem.

Source: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_OCTAL = re.compile(r"\\([0-7]{3})")  # space, tab, newline, backslash and # are written so


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo."""

    device_number: str  # "259:1"
    root: str  # which part of the filesystem is here; "/" is all of it
    mount_point: str
    read_only: bool  # this mount, or the filesystem as a whole
    type: str
    source: str  # "/dev/nvme1n1p1"

    def covers(self, path: str) -> bool:
        """Whether a path is this mount's mount point or below it."""
        return is_below(path, self.mount_point)


def is_below(path: str, folder: str) -> bool:
    """Whether `path` is `folder` or below it; both absolute and normal."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def parse_mountinfo(text: str) -> list[Mount]:
    """The mounts in the kernel's order; raises ValueError for a line of another shape."""
    return [_parse(line) for line in text.split("\n") if line]


def read_mounts(process: str = "self") -> list[Mount]:
    """The mounts that a process sees; OSError when it has gone."""
    raw = Path(f"/proc/{process}/mountinfo").read_bytes()
    return parse_mountinfo(raw.decode(errors="surrogateescape"))


def on_top(mounts: Iterable[Mount], mount_point: str) -> Mount | None:
    """What is seen at a mount point: the last one mounted there."""
    return next((mount for mount in reversed(list(mounts)) if mount.mount_point == mount_point), None)


def deepest_first(mounts: Iterable[Mount]) -> list[Mount]:
    """The order to unmount in: below before above, and on one mount point the last one first."""
    by_depth = sorted(mounts, key=lambda mount: mount.mount_point.rstrip("/").count("/"))
    return by_depth[::-1]


def _parse(line: str) -> Mount:
    here, separator, there = line.partition(" - ")
    fields, rest = here.split(" "), there.split(" ")
    if not separator or len(fields) < 6 or len(rest) < 2:
        raise ValueError(f"not a line of mountinfo: {line!r}")
    return Mount(
        device_number=fields[2],
        root=_plain(fields[3]),
        mount_point=_plain(fields[4]),
        read_only="ro" in fields[5].split(",") or "ro" in rest[-1].split(","),
        type=rest[0],
        source=_plain(rest[1]),
    )


def _plain(text: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), text)
