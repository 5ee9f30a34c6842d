"""Makes a disk the first copy of a mirror, or blank: what destroys what was on it.

Keeps: a disk that somebody uses is never touched, and one that isn't blank only if an operator says so.
"""

from __future__ import annotations

from recovery_kits.contract import Run
from recovery_kits.mirror.array import Array
from recovery_kits.mirror.disk import Disk, Holds
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.users import users

_MKFS = {"xfs": ("mkfs.xfs", "-q", "-f"), "ext4": ("mkfs.ext4", "-q", "-F")}
FILESYSTEMS = tuple(_MKFS)


class Occupied(Exception):
    """The disk must not be touched, and why."""


def require_unused(place: Place) -> None:
    """Raise Occupied if anything here uses the disk."""
    if using := users(place.disk_name):
        raise Occupied(f"{place.disk} is in use: {', '.join(using)}")


def require_blank(place: Place, disk: Disk, *, overwrite: bool) -> None:
    """Raise Occupied for a disk that holds anything, unless that is of no use any more."""
    if disk.holds is Holds.UNREADABLE:
        raise Occupied(disk.why)
    if disk.holds is not Holds.BLANK and not overwrite:
        what = disk.why or f"{place.disk} holds a copy of this mirror"
        raise Occupied(f"{what}; if it is of no use, say overwrite")


async def erase(disk: str, run: Run) -> None:
    """Have nobody find anything on it: wipefs clears magic numbers only, dd the superblock as well."""
    await run("wipefs", "--all", "--", disk)
    await run("dd", "if=/dev/zero", f"of={disk}", "bs=1M", "count=1", "oflag=direct", "conv=fsync")


async def create(array: Array, place: Place, *, chunk_kib: int, filesystem: str | None, run: Run) -> str:
    """Make the array on a blank disk, with a filesystem if asked; it doesn't run afterwards."""
    await array.create(raid_disks=1 + len(place.peers), chunk_bytes=chunk_kib * 1024)
    try:
        if filesystem is not None:
            await run(*_MKFS[filesystem], array.device)
    finally:
        await array.stop()
    inside = f" with {filesystem}" if filesystem else ""
    return f"{place.disk} is the first copy of {place.device}{inside}"
