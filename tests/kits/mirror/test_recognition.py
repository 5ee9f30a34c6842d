"""Which disks are written to, and which connections are given to the kernel."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import Leg, read_leg
from recovery_kits.mirror.recognition import Refused, same_leg, what_to_copy
from recovery_kits.mirror.rejoin import FullCopy
from recovery_kits.mirror.superblock import NoLeg
from tests.kits.mirror.legs import DEVICES, FAULTY, DiskLeg, Image

OTHER = UUID(int=7)


def found(disk: DiskLeg) -> Leg | NoLeg:
    return asyncio.run(read_leg(Image(disk.image())))


def running() -> Leg:
    leg = found(DiskLeg(number=0, device=DEVICES[0], dirty=(3,)))
    assert isinstance(leg, Leg)
    return leg


def test_a_leg_of_ours_gets_what_either_side_noted() -> None:
    assert what_to_copy(running(), found(DiskLeg(dirty=(9,))), "sync ") == Chunks.of([(3, 3), (9, 9)])


def test_a_blank_disk_gets_everything() -> None:
    blank = asyncio.run(read_leg(Image(bytes(1 << 20))))
    assert isinstance(what_to_copy(running(), blank, "sync "), FullCopy)


def test_a_leg_that_was_a_source_and_had_not_sent_everything_gets_everything() -> None:
    leg = found(DiskLeg())
    assert isinstance(leg, Leg)
    what = what_to_copy(running(), leg, f"async {leg.superblock.device_uuid}")
    assert isinstance(what, FullCopy)
    assert "what wasn't is lost" in what.reason
    assert what_to_copy(running(), leg, f"async {OTHER}") == Chunks.of([(3, 3)])  # it was another leg


@pytest.mark.parametrize(
    "image", [b"XFSB" * (1 << 18), DiskLeg(array=OTHER).image(), DiskLeg(level=5).image()]
)
def test_a_disk_with_anything_else_is_refused(image: bytes) -> None:
    strange = asyncio.run(read_leg(Image(image)))
    with pytest.raises(Refused):
        what_to_copy(running(), strange, "sync ")


def test_a_new_connection_to_the_leg_as_it_was_is_taken() -> None:
    assert same_leg(running(), found(DiskLeg()), slot=1) == ""
    assert same_leg(running(), found(DiskLeg(events=39)), slot=1) == ""  # an update is outstanding


@pytest.mark.parametrize(
    ("disk", "why"),
    [
        (DiskLeg(array=OTHER), "another leg"),
        (DiskLeg(roles=[1, 0]), "another leg"),
        (DiskLeg(roles=[FAULTY, 1]), "used without"),
        (DiskLeg(events=30), "another state"),
        (DiskLeg(events=50), "another state"),
    ],
)
def test_a_leg_that_changed_meanwhile_is_not_taken_back_unasked(disk: DiskLeg, why: str) -> None:
    assert why in same_leg(running(), found(disk), slot=1)
    assert "gone" in same_leg(running(), asyncio.run(read_leg(Image(bytes(1 << 20)))), slot=1)
