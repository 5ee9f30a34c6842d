"""Legs as md itself left them on disks (data/README.md)."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest

from recovery_kits.mirror.array import array_uuid
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import Leg, read_leg
from recovery_kits.mirror.rejoin import FullCopy, union
from recovery_kits.mirror.superblock import Feature, Instead, NoLeg
from tests.kits.mirror.legs import Image

DATA = Path(__file__).parent / "data"


def image(name: str) -> bytes:
    """A leg's first 12 KiB."""
    return gzip.decompress((DATA / f"{name}.gz").read_bytes())


def recorded(name: str) -> Leg:
    """As a leg."""
    leg = asyncio.run(read_leg(Image(image(name))))
    assert isinstance(leg, Leg)
    return leg


def test_a_leg_of_md_is_read() -> None:
    leg = recorded("old-source")
    assert leg.superblock.array_uuid == array_uuid("lab", "mirror-r0")
    assert (leg.superblock.name, leg.superblock.slot, leg.superblock.number) == ("r0", 0, 0)
    assert leg.superblock.size_bytes == 47 << 20
    assert leg.bitmap is not None
    assert leg.bitmap.dirty == Chunks(((10, 29),))


def test_legs_that_md_let_run_apart_need_both_bitmaps() -> None:
    old, new = recorded("old-source"), recorded("new-source")
    assert new.superblock.holder_of(old.superblock.slot) is None
    assert union(new, old) == union(old, new) == Chunks(((10, 34), (200, 204)))


def test_a_leg_in_mid_copy_is_seen_and_copied_in_full() -> None:
    leg = recorded("mid-copy")
    assert leg.superblock.is_recovering
    assert Feature.RECOVERY_BITMAP not in leg.superblock.features
    assert union(recorded("new-source"), leg) == FullCopy("a full copy onto it was never finished")


@pytest.mark.parametrize("at", [4096 + 8, 4096 + 100, 4096 + 200, 4096 + 256])
def test_a_flipped_bit_is_found_by_mds_checksum(at: int) -> None:
    damaged = bytearray(image("old-source"))
    damaged[at] ^= 1
    found = asyncio.run(read_leg(Image(bytes(damaged))))
    assert isinstance(found, NoLeg)
    assert found.what is Instead.DAMAGED
