"""What the kernel says of an md array, and the few words that are said to it there.

Invariant: only /sys is read here, never a disk, so this answers while a disk hangs.
Source: the kernel's Documentation/admin-guide/md.rst.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from recovery_kits.mirror.superblock import SECTOR

SYS_BLOCK = Path("/sys/block")
WRITE_LIMIT = 4096  # bytes; one write to an attribute must be shorter
CHECK = "check"
FROZEN, IDLE = "frozen", "idle"  # of `sync_action`


@dataclass(frozen=True)
class InFlight:
    """Requests that a device was given and hasn't answered; always the same ones: it hangs."""

    reads: int
    writes: int


@dataclass(frozen=True, kw_only=True)
class MemberState:
    """A leg as the running array sees it."""

    name: str  # of the block device: "nbd0", "nvme1n1p1"
    slot: int | None
    in_sync: bool
    faulty: bool
    write_mostly: bool
    errors: int  # that were read, and corrected from another leg
    bad_blocks: bool  # some couldn't be written, and are noted instead of failing the leg
    in_flight: InFlight

    @property
    def is_recovering(self) -> bool:
        """It is being copied to, or waits for it."""
        return not (self.in_sync or self.faulty)


@dataclass(frozen=True, kw_only=True)
class ArrayState:
    """A running array; sizes and positions in bytes."""

    name: str  # of the block device: "md127"
    uuid: UUID
    state: str  # "clean", "active", …; "inactive": it isn't started, and can't be used
    raid_disks: int
    degraded: int  # legs that are missing or not in sync
    sync_action: str  # "idle", "frozen", "recover", "resync", "check"
    sync_done_bytes: int | None  # None: nothing is being copied or compared
    sync_total_bytes: int | None
    sync_bytes_per_s: int | None
    mismatch_bytes: int  # that the last check found; it counts in units of what it reads at once
    last_sync_action: str
    size_bytes: int
    in_flight: InFlight
    members: tuple[MemberState, ...]

    @property
    def is_started(self) -> bool:
        """It can be read, and written unless it `is_read_only`."""
        return self.state not in {"clear", "inactive"}

    @property
    def is_read_only(self) -> bool:
        """Md writes nothing to the legs, not even its own superblocks."""
        return self.state in {"readonly", "read-auto"}

    @property
    def part(self) -> float:
        """How far a copy or a comparison has come, from 0 to 1; 0 if there is none."""
        return (self.sync_done_bytes or 0) / self.sync_total_bytes if self.sync_total_bytes else 0.0

    def member(self, name: str) -> MemberState | None:
        """By its block device's name."""
        return next((member for member in self.members if member.name == name), None)


def read_state(block: Path) -> ArrayState:
    """Of the array at e.g. /sys/block/md127. Raises OSError, ValueError when it goes away meanwhile."""
    md = block / "md"
    done, total = _progress(_word(md / "sync_completed", "none"))
    speed = _word(md / "sync_speed", "none")
    return ArrayState(
        name=block.name,
        uuid=UUID(_word(md / "uuid")),
        state=_word(md / "array_state"),
        raid_disks=int(_word(md / "raid_disks").split()[0]),
        degraded=int(_word(md / "degraded", "0")),
        sync_action=_word(md / "sync_action", IDLE),
        sync_done_bytes=done,
        sync_total_bytes=total,
        sync_bytes_per_s=None if speed == "none" else int(speed) * 1024,
        mismatch_bytes=int(_word(md / "mismatch_cnt", "0")) * SECTOR,
        last_sync_action=_word(md / "last_sync_action", "none"),
        size_bytes=int(_word(block / "size")) * SECTOR,
        in_flight=_in_flight(block),
        members=tuple(_member(each) for each in sorted(md.glob("dev-*"))),
    )


def find(uuid: UUID, sys_block: Path = SYS_BLOCK) -> Path | None:
    """Where the array with that uuid is, such as /sys/block/md127. Raises OSError."""
    for attribute in sorted(sys_block.glob("md*/md/uuid")):
        with suppress(OSError, ValueError):  # gone meanwhile, or a device without an array
            if UUID(_word(attribute)) == uuid:
                return attribute.parents[1]
    return None


def _member(folder: Path) -> MemberState:
    words = _word(folder / "state").split(",")
    slot = _word(folder / "slot")
    return MemberState(
        name=folder.name.removeprefix("dev-"),
        slot=None if slot == "none" else int(slot),
        in_sync="in_sync" in words,
        faulty="faulty" in words,
        write_mostly="write_mostly" in words,
        errors=int(_word(folder / "errors")),
        bad_blocks=bool(_word(folder / "bad_blocks")),
        in_flight=_in_flight(folder / "block"),
    )


def _progress(words: str) -> tuple[int | None, int | None]:
    """Of "1024 / 81920", "none" and "delayed"; in sectors."""
    parts = words.split(" / ")
    if len(parts) != 2:
        return None, None
    return int(parts[0]) * SECTOR, int(parts[1]) * SECTOR


def _in_flight(block: Path) -> InFlight:
    reads, writes = (int(word) for word in _word(block / "inflight").split())
    return InFlight(reads, writes)


def _word(path: Path, absent: str | None = None) -> str:
    """`absent`: what to say of what an array that isn't started doesn't have."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        if absent is None:
            raise
        return absent
