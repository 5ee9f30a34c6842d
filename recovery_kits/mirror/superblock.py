"""md's superblock, version 1.2, as a leg keeps it 4 KiB after its start.

Invariant: nothing is believed before magic, version and checksum are right; what isn't is a `NoLeg` that
says what is there instead, whatever the bytes are.
Source of the layout: the kernel's include/uapi/linux/raid/md_p.h (struct mdp_superblock_1), and
drivers/md/md.c (calc_sb_1_csum, super_1_sync).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntFlag
from typing import Final
from uuid import UUID

SUPERBLOCK_AT: Final = 4096  # bytes from the leg's start
SUPERBLOCK_BYTES: Final = 4096
SECTOR: Final = 512

_MAGIC = 0xA92B4EFC
_HEADER = struct.Struct(
    "<III4x16s32sQIIQIIi"  # magic, version, features, array uuid, name, ctime, level … bitmap offset
    "28xQQQQI4x16sB7x"  # (reshape), data offset and size, own place, recovery offset, number, uuid, flags
    "QQQII32x"  # update time, events, resync offset, checksum, length of the table of roles
)
_CHECKSUM_AT = 216
_ROLES_AT = 256
_MOST_ROLES = (SUPERBLOCK_BYTES - _ROLES_AT) // 2
LAST_SLOT: Final = 0xFEFF  # above are "spare", "faulty" and "journal"
_FAULTY = 0xFFFE
_UPDATE_SECONDS = (1 << 40) - 1  # the rest are microseconds
_WRITE_MOSTLY = 1


class Feature(IntFlag):
    """What a superblock says must be understood by whoever uses the leg."""

    BITMAP = 1
    RECOVERY_OFFSET = 2  # in the middle of being copied to
    RESHAPE = 4
    BAD_BLOCKS = 8  # there is a list of them, and it isn't empty
    REPLACEMENT = 16
    RESHAPE_BACKWARDS = 32
    NEW_OFFSET = 64
    RECOVERY_BITMAP = 128  # what is being copied are the bitmap's chunks, not everything
    CLUSTERED = 256
    JOURNAL = 512
    PPL = 1024
    MULTIPLE_PPLS = 2048
    RAID0_LAYOUT = 4096


class Instead(Enum):
    """What there is in place of a leg."""

    BLANK = "blank"  # zeroes where the superblock would be
    FOREIGN = "foreign"  # something else's data, or an md array of another kind
    DAMAGED = "damaged"  # a leg once; its checksum or its bounds are wrong


@dataclass(frozen=True)
class NoLeg:
    """A device that isn't a leg of a mirror."""

    what: Instead
    why: str


@dataclass(frozen=True, kw_only=True)
class Superblock:
    """What one leg knows of itself and of its array."""

    array_uuid: UUID
    device_uuid: UUID
    name: str  # of the array; for people
    features: Feature
    created: int  # when the array was made: seconds since 1970 in the low 40 bits, microseconds above
    events: int  # counts the changes of the array's state; the higher, the newer, within one history
    updated_at_s: int  # since 1970, by the writer's clock
    raid_disks: int
    slot: int | None  # its own place in the array; None: spare, faulty or never had one
    faulty: bool  # it says so of itself
    number: int  # of the device within the array, kept when its place changes hands
    roles: tuple[int, ...]  # by number: a place, or above `LAST_SLOT` that it has none
    write_mostly: bool
    size_bytes: int  # of what is mirrored
    data_offset_bytes: int
    bitmap_at_bytes: int | None  # from the leg's start
    recovered_bytes: int | None  # how far a copy onto it had come; None: it isn't being copied to

    def holder_of(self, slot: int | None) -> int | None:
        """The number of the device that had this place when this was last written, if any had it."""
        return self.roles.index(slot) if slot in self.roles else None

    @property
    def is_recovering(self) -> bool:
        """It holds a mixture of old and new: a copy onto it was begun and not finished."""
        return self.recovered_bytes is not None


def parse_superblock(block: bytes) -> Superblock | NoLeg:
    """What the `SUPERBLOCK_BYTES` bytes at `SUPERBLOCK_AT` say."""
    if len(block) != SUPERBLOCK_BYTES:
        return NoLeg(Instead.DAMAGED, f"the superblock has {len(block)} bytes, not {SUPERBLOCK_BYTES}")
    if not any(block):
        return NoLeg(Instead.BLANK, "there is no superblock")
    magic, version = struct.unpack_from("<II", block)
    if magic != _MAGIC:
        return NoLeg(Instead.FOREIGN, f"there is no md superblock: it begins with {block[:4].hex()}")
    if version != 1:
        return NoLeg(Instead.FOREIGN, f"md's superblock has version {version}, not 1")
    return _parse(block)


def _parse(block: bytes) -> Superblock | NoLeg:
    # fmt: off
    (
        _, _, features, array_uuid, name, created, level, _, size, _, raid_disks, bitmap_offset,
        data_offset, data_size, place, recovery_offset, number, device_uuid, flags,
        updated_at, events, _, checksum, count,
    ) = _HEADER.unpack_from(block)
    # fmt: on
    if count > _MOST_ROLES:
        return NoLeg(Instead.DAMAGED, f"its table of roles would have {count} entries")
    if checksum != superblock_checksum(block, count):
        return NoLeg(Instead.DAMAGED, "the superblock's checksum is wrong")
    if level != 1:
        return NoLeg(Instead.FOREIGN, f"it belongs to an md array of level {level}, not a mirror")
    if place * SECTOR != SUPERBLOCK_AT:
        return NoLeg(Instead.FOREIGN, f"its superblock's place is sector {place}: not version 1.2")
    if size > data_size or not size:
        return NoLeg(Instead.DAMAGED, f"it would mirror {size} of {data_size} sectors")
    roles = struct.unpack_from(f"<{count}H", block, _ROLES_AT)
    role = roles[number] if number < count else None
    feature = Feature(features)
    return Superblock(
        array_uuid=UUID(bytes=array_uuid),
        device_uuid=UUID(bytes=device_uuid),
        name=name.rstrip(b"\0").decode("utf-8", "replace"),
        features=feature,
        created=created,
        events=events,
        updated_at_s=updated_at & _UPDATE_SECONDS,
        raid_disks=raid_disks,
        slot=role if role is not None and role <= LAST_SLOT else None,
        faulty=role == _FAULTY,
        number=number,
        roles=roles,
        write_mostly=bool(flags & _WRITE_MOSTLY),
        size_bytes=size * SECTOR,
        data_offset_bytes=data_offset * SECTOR,
        bitmap_at_bytes=SUPERBLOCK_AT + bitmap_offset * SECTOR if Feature.BITMAP in feature else None,
        recovered_bytes=recovery_offset * SECTOR if Feature.RECOVERY_OFFSET in feature else None,
    )


def superblock_checksum(block: bytes, roles: int) -> int:
    """Md's own sum: the 32-bit words summed, the checksum's counted as 0, the carry added once."""
    end = _ROLES_AT + 2 * roles
    covered = block[:_CHECKSUM_AT] + bytes(4) + block[_CHECKSUM_AT + 4 : end]
    covered += bytes(-len(covered) % 4)  # md adds an odd last role by itself, which is the same
    total: int = sum(word for (word,) in struct.iter_unpack("<I", covered))
    return (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF
