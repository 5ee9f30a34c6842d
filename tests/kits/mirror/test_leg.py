"""Whatever bytes are on a device, reading it as a leg ends in a leg or in what is there instead."""

from __future__ import annotations

import asyncio
import struct
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import Leg, read_leg
from recovery_kits.mirror.superblock import Instead, NoLeg, superblock_checksum
from tests.kits.mirror.legs import ARRAY, FAULTY, MIB, SPARE, DiskLeg, Image


def read(content: bytes) -> Leg | NoLeg:
    """As a leg."""
    return asyncio.run(read_leg(Image(content)))


def leg_of(disk: DiskLeg) -> Leg:
    """Its leg, which it has."""
    leg = read(disk.image())
    assert isinstance(leg, Leg)
    return leg


def test_a_leg_tells_what_it_knows() -> None:
    leg = leg_of(DiskLeg(device_flags=1, dirty=[0, 3, 4, 1023]))
    assert leg.bitmap is not None
    assert leg.bitmap.dirty == Chunks(((0, 0), (3, 4), (1023, 1023)))
    assert (leg.bitmap.header.chunks, leg.bitmap.header.events_cleared) == (1024, 38)
    assert leg.superblock.array_uuid == ARRAY
    assert leg.superblock.name == "db-01:mirror-r0"
    assert leg.superblock.size_bytes == 64 * MIB
    assert leg.superblock.write_mostly
    assert (leg.superblock.number, leg.superblock.slot, leg.superblock.roles) == (1, 1, (0, 1))
    assert not leg.superblock.is_recovering


def test_a_copy_that_was_begun_is_seen() -> None:
    superblock = leg_of(DiskLeg(features=1 | 2, recovery_offset=2048)).superblock
    assert superblock.is_recovering
    assert superblock.recovered_bytes == MIB


@pytest.mark.parametrize(("role", "faulty"), [(FAULTY, True), (SPARE, False)])
def test_a_leg_without_a_place_says_so(role: int, faulty: bool) -> None:
    superblock = leg_of(DiskLeg(roles=[0, role])).superblock
    assert (superblock.slot, superblock.faulty) == (None, faulty)


def test_a_number_beyond_the_table_is_no_place() -> None:
    assert leg_of(DiskLeg(number=2)).superblock.slot is None


@pytest.mark.parametrize(
    ("disk", "why"),
    [
        (DiskLeg(features=0), "the leg has no bitmap"),
        (DiskLeg(bitmap_uuid=UUID(int=1)), f"the bitmap is of array {UUID(int=1)}"),
        (DiskLeg(bitmap_events=39), "the bitmap is out of date: of event 39, the leg of 40"),
        (DiskLeg(bitmap_state=2), "md has marked the bitmap as out of date"),
        (DiskLeg(bitmap_state=4), "the bitmap couldn't be written once"),
        (DiskLeg(bitmap_size_sectors=8), f"the bitmap is for 4096 bytes, the leg mirrors {64 * MIB}"),
        (DiskLeg(chunk=65536 * 3), "the bitmap's chunks would have 196608 bytes"),
    ],
)
def test_a_bitmap_that_md_would_not_trust_is_none(disk: DiskLeg, why: str) -> None:
    leg = leg_of(disk)
    assert (leg.bitmap, leg.why) == (None, why)


def test_a_bitmap_is_never_read_beyond_the_room_before_the_data() -> None:
    image = bytearray(MIB)
    image[4096:8192] = DiskLeg(size_sectors=1 << 40).superblock()
    image[8192:8448] = DiskLeg(bitmap_size_sectors=1 << 40, chunk=4096).bitmap()[:256]
    disk = Image(bytes(image))
    leg = asyncio.run(read_leg(disk))
    assert isinstance(leg, Leg)
    assert leg.why == "the bitmap doesn't fit before the data"
    assert disk.bytes_read <= 8192


def test_a_bitmap_cut_off_by_the_end_is_none() -> None:
    big = DiskLeg(size_sectors=4 << 30 >> 9, chunk=4096)
    leg = read(big.image()[: 8192 + 8192])
    assert isinstance(leg, Leg)
    assert leg.why == "the bitmap is cut off by the device's end"


class Written:
    """A running array's leg, whose bitmap is written anew between two reads of it."""

    def __init__(self, *disks: DiskLeg) -> None:
        self._disks = [Image(disk.image()) for disk in disks]

    async def __call__(self, offset: int, length: int) -> bytes:
        """The superblock and the first look at the bitmap from one, the rest from the next."""
        disk = self._disks[0]
        if offset == 8192 and len(self._disks) > 1:
            self._disks.pop(0)
        return await disk(offset, length)


def test_a_bitmap_that_is_written_while_it_is_read_is_told_as_it_is_now() -> None:
    leg = asyncio.run(read_leg(Written(DiskLeg(), DiskLeg(cleared=40, dirty=[7]))))
    assert isinstance(leg, Leg)
    assert leg.bitmap is not None
    assert (leg.bitmap.header.events_cleared, leg.bitmap.dirty) == (40, Chunks(((7, 7),)))


def test_a_bitmap_that_is_made_anew_while_it_is_read_is_none() -> None:
    leg = asyncio.run(read_leg(Written(DiskLeg(), DiskLeg(chunk=131072))))
    assert isinstance(leg, Leg)
    assert (leg.bitmap, leg.why) == (None, "the bitmap was made anew while it was read")


@pytest.mark.parametrize(
    ("at", "value", "what"),
    [
        (0, b"XFSB", Instead.FOREIGN),
        (4, struct.pack("<I", 0), Instead.FOREIGN),
        (200, b"\xff", Instead.DAMAGED),  # the events, and so the checksum
        (220, struct.pack("<I", 1 << 31), Instead.DAMAGED),
    ],
)
def test_what_is_no_leg_is_told(at: int, value: bytes, what: Instead) -> None:
    image = bytearray(DiskLeg().image())
    image[4096 + at : 4096 + at + len(value)] = value
    found = read(bytes(image))
    assert isinstance(found, NoLeg)
    assert found.what is what


@pytest.mark.parametrize("level", [0, 5, 10])
def test_an_array_of_another_kind_is_foreign(level: int) -> None:
    found = read(DiskLeg(level=level).image())
    assert isinstance(found, NoLeg)
    assert found.what is Instead.FOREIGN


def test_zeroes_are_blank_and_a_short_device_is_damaged() -> None:
    assert read(bytes(MIB)) == NoLeg(Instead.BLANK, "there is no superblock")
    short = read(DiskLeg().image()[:6000])
    assert isinstance(short, NoLeg)
    assert short.what is Instead.DAMAGED


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=4096), st.integers(4096, 12000))
def test_no_bytes_whatever_are_an_exception(junk: bytes, at: int) -> None:
    image = bytearray(DiskLeg(dirty=range(7)).image())
    image[at : at + len(junk)] = junk
    found = read(bytes(image))
    if isinstance(found, Leg) and found.bitmap is not None:
        assert all(last < found.bitmap.header.chunks for _, last in found.bitmap.dirty.ranges)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(min_size=200, max_size=256))
def test_no_fields_whatever_are_an_exception_though_the_checksum_is_right(junk: bytes) -> None:
    image = bytearray(DiskLeg().image())
    image[4104 : 4104 + len(junk)] = junk
    count = min(struct.unpack_from("<I", image, 4096 + 220)[0], 1920)
    struct.pack_into("<I", image, 4096 + 220, count)
    struct.pack_into("<I", image, 4096 + 216, superblock_checksum(bytes(image[4096:8192]), count))
    assert isinstance(read(bytes(image)), Leg | NoLeg)
