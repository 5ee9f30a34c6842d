"""A slow twin of md: what disks hold after writes, splits, crashes, torn updates, and disks that change.

It follows drivers/md/md.c and md-bitmap.c in what matters to `union`: when bits are set and cleared, when
event counters move, what is on a disk at a crash. A chunk's content is the number of its last write.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from recovery_kits.mirror.bitmap import Bitmap, BitmapHeader
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import Leg
from recovery_kits.mirror.superblock import Feature, Superblock
from tests.kits.mirror.legs import ARRAY, FAULTY

CHUNKS = 16
CHUNK_BYTES = 65536
LEGS = 2


@dataclass(eq=False)
class Disk:
    """What one disk holds."""

    device: int
    data: list[int] = field(default_factory=lambda: [0] * CHUNKS)
    slot: int | None = None
    number: int = 0
    roles: dict[int, int] = field(default_factory=dict)
    events: int = 0
    recovering: bool = False
    guided: bool = False  # by the bitmap
    bits: set[int] = field(default_factory=set)
    bitmap_events: int = 0
    cleared: int = 0

    def leg(self) -> Leg:
        """As `read_leg` would tell it; the disk has been in an array."""
        features = Feature.BITMAP
        features |= Feature.RECOVERY_OFFSET if self.recovering else Feature(0)
        features |= Feature.RECOVERY_BITMAP if self.recovering and self.guided else Feature(0)
        superblock = Superblock(
            array_uuid=ARRAY,
            device_uuid=UUID(int=self.device),
            name="r0",
            features=features,
            created=0,
            events=self.events,
            updated_at_s=0,
            raid_disks=LEGS,
            slot=self.slot,
            faulty=False,
            number=self.number,
            roles=tuple(self.roles.get(number, FAULTY) for number in range(max(self.roles) + 1)),
            write_mostly=False,
            size_bytes=CHUNKS * CHUNK_BYTES,
            data_offset_bytes=1 << 20,
            bitmap_at_bytes=8192,
            recovered_bytes=0 if self.recovering else None,
        )
        header = BitmapHeader(
            events=self.bitmap_events,
            events_cleared=self.cleared,
            chunk_bytes=CHUNK_BYTES,
            chunks=CHUNKS,
            daemon_sleep_s=5,
            write_behind=0,
        )
        if self.bitmap_events < self.events:
            return Leg(superblock, None, "out of date")
        return Leg(superblock, Bitmap(header, Chunks.of((bit, bit) for bit in self.bits)))


class Array:
    """md running on one node: in memory, and on the disks that it reaches."""

    def __init__(self, disk: Disk, writes: Iterator[int]) -> None:
        self.members, self.copied_to, self._writes = [disk], list[Disk](), writes
        self.events, self.cleared, self.bits = disk.events, disk.cleared, set(disk.bits)
        self._clean, self._can_step_back = True, False
        if disk.bitmap_events < disk.events:  # md: "forcing full recovery"
            self.cleared, self.bits = self.events, set(range(CHUNKS))

    @property
    def degraded(self) -> bool:
        """A leg is missing or being copied to."""
        return len(self.members) < LEGS

    @property
    def _disks(self) -> list[Disk]:
        return self.members + self.copied_to

    def write(self, chunk: int, *, reaches: int | None = None) -> None:
        """Bits, then data, which may reach only some disks before all stops."""
        self._become(clean=False)
        self.bits.add(chunk)
        version = next(self._writes)
        for disk in self._disks:
            disk.bits.add(chunk)
        for disk in self._disks[:reaches]:
            disk.data[chunk] = version
        if not self.degraded and reaches is None:
            self.cleared = max(self.cleared, self.events)

    def idle(self, *, reaches: int | None = None) -> None:
        """Nothing has been written for a while."""
        self._become(clean=True, reaches=reaches)

    def _become(self, *, clean: bool, reaches: int | None = None) -> None:
        if clean == self._clean:
            return
        self._clean = clean
        if clean and self._can_step_back and not self.degraded:
            self.events, self._can_step_back = self.events - 1, False
        else:
            self.events, self._can_step_back = self.events + 1, not self.degraded
        self._flush(reaches)

    def changed(self, reaches: int | None = None) -> None:
        """A member came or went."""
        self.events, self._can_step_back = self.events + 1, False
        self._flush(reaches)

    def _flush(self, reaches: int | None) -> None:
        self.cleared = min(self.cleared, self.events)
        for disk in self._disks[:reaches]:
            disk.bitmap_events, disk.cleared = self.events, self.cleared
        roles = {disk.number: disk.slot for disk in self._disks if disk.slot is not None}
        for disk in self._disks[:reaches]:
            disk.events, disk.roles = self.events, roles
            disk.recovering = disk in self.copied_to

    def tidy(self, *, bits: bool) -> None:
        """The daemon writes `events_cleared`, and after it clears bits that all legs have."""
        for disk in self._disks:
            disk.cleared = self.cleared
        if bits and not self.degraded:
            self.bits.clear()
            for disk in self._disks:
                disk.bits.clear()

    def lose(self, disk: Disk) -> None:
        """A disk is failed; it isn't told."""
        self.members = [member for member in self.members if member is not disk]
        self.copied_to = [target for target in self.copied_to if target is not disk]
        self.changed()

    def would_refuse(self, disk: Disk) -> bool:
        """Md's own check of a re-add."""
        return disk.events < self.cleared

    def renew_bitmap(self) -> None:
        """A new bitmap, all of it dirty: what older legs noted counts no more."""
        self.changed()  # without one
        self.changed()
        self.cleared, self.bits = self.events, set(range(CHUNKS))
        for disk in self._disks:
            disk.bits, disk.cleared = set(self.bits), self.cleared

    def begin_copy(self, disk: Disk, *, guided: bool) -> None:
        """Set up `disk` as a leg that is being copied to; guided: its bits are set already."""
        [taken] = self.members
        if not guided:  # mdadm takes the lowest that is free: see rejoin.py about four disks
            disk.number = disk.device
        disk.slot, disk.guided = LEGS - 1 - (taken.slot or 0), guided
        self.copied_to = [disk]
        self.changed()
        disk.bits = set(self.bits)  # md writes all of its bitmap to it

    def copy(self, chunks: set[int]) -> None:
        """Copy these, and forget their bits as md does on the way."""
        [source], [target] = self.members, self.copied_to
        for chunk in chunks:
            target.data[chunk] = source.data[chunk]
        self.bits -= chunks
        for disk in self._disks:
            disk.bits -= chunks

    def end_copy(self) -> None:
        """The target is in sync."""
        self.members, self.copied_to = self.members + self.copied_to, []
        self.changed()


def fresh_disks() -> Iterator[Disk]:
    """Disks that nobody has used."""
    return (Disk(device) for device in itertools.count(1))
