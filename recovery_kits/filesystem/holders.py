"""Finds the processes that keep a mount busy, and signals them. A program of its own:

    python -m recovery_kits.filesystem.holders SIGNAL MOUNT_POINT SPARED_PID…

SIGNAL is 15, 9, or 0 to look only. Prints `PID NAME HOW` for each. It runs outside the agent because
/proc/PID/maps of a process that hangs on a dead disk can hang its reader, too.

Invariants: pid 1, this process and the spared ones are never signalled; a process is held by a pidfd
before it is looked at, so that the signal can't reach a later process with the same pid.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from recovery_kits.filesystem.mounts import Mount, is_below, on_top, read_mounts


def main(arguments: list[str]) -> None:
    """Signal and print every holder."""
    number, mount_point, *spared = arguments
    mount = on_top(read_mounts(), mount_point)
    if mount is None:
        return
    never = {1, os.getpid(), *map(int, spared)}
    for pid in sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()):
        with suppress(OSError, ValueError):  # it has gone, or is a zombie: the others count all the same
            _end_holder(pid, mount, signal.Signals(int(number)) if int(number) else None, spare=pid in never)


def _end_holder(pid: int, mount: Mount, number: signal.Signals | None, *, spare: bool) -> None:
    handle = os.pidfd_open(pid)
    try:
        process = Path(f"/proc/{pid}")
        how = next(_uses(process, mount), None)
        if how is None:
            return
        name = (process / "comm").read_text(errors="replace").strip()
        print(pid, name, how, "(spared)" if spare else "", flush=True)  # noqa: T201 (a program)
        if number is not None and not spare:
            signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)


def _uses(process: Path, mount: Mount) -> Iterator[str]:
    """The ways in which a process uses the mount: "cwd", "root", "exe", "fd 3", "mapped"."""
    points = _mount_points_for(process, mount)
    if not points:
        return
    for name, target in _links(process):
        if any(is_below(target, point) for point in points):
            yield name
    if _state(process) != "D":  # else reading its maps may hang
        for line in (process / "maps").read_text(errors="replace").splitlines():
            path = line.split(maxsplit=5)[5:]
            if path and any(is_below(path[0], point) for point in points):
                yield "mapped"


def _mount_points_for(process: Path, mount: Mount) -> list[str]:
    """Where the process sees the same part of the same filesystem, in its own mount namespace."""
    return [
        seen.mount_point
        for seen in read_mounts(process.name)
        if (seen.device_number, seen.root) == (mount.device_number, mount.root)
    ]


def _links(process: Path) -> Iterator[tuple[str, str]]:
    """The paths a process holds. Reading a link of /proc doesn't touch what it points at."""
    paths = [process / name for name in ("cwd", "root", "exe")]
    with suppress(OSError):
        paths += (process / "fd").iterdir()
    for path in paths:
        with suppress(OSError):  # closed meanwhile, or a kernel thread's
            name = f"fd {path.name}" if path.parent.name == "fd" else path.name
            yield name, str(path.readlink()).removesuffix(" (deleted)")


def _state(process: Path) -> str:
    """R, S, D, Z, …: the field after the name, which may hold spaces and brackets."""
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]


if __name__ == "__main__":
    main(sys.argv[1:])
