"""A returning leg gets every chunk in which it differs, or everything, in whatever way it came to differ."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from random import Random
from uuid import UUID

import pytest

from recovery_kits.mirror import rejoin
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import Leg, read_leg
from recovery_kits.mirror.rejoin import FullCopy, union
from recovery_kits.mirror.superblock import Instead, NoLeg
from tests.kits.mirror.legs import DEVICES, FAULTY, DiskLeg, Image
from tests.kits.mirror.md_model import CHUNKS, Array, Disk, fresh_disks

Union = Callable[[Leg, Leg | NoLeg], Chunks | FullCopy]

HERE = DiskLeg(device=DEVICES[0], number=0, roles=[0, FAULTY], events=44, bitmap_events=44, dirty=[1, 2])
LEFT = DiskLeg(device=DEVICES[1], number=1, roles=[0, 1], events=40, bitmap_events=40, dirty=[2, 9])
APART = replace(LEFT, roles=[FAULTY, 1], events=57, bitmap_events=57)


def leg(disk: DiskLeg) -> Leg | NoLeg:
    """As it is read."""
    return asyncio.run(read_leg(Image(disk.image())))


THIRD = replace(APART, roles=[FAULTY, 1, 0])


def answer(returning: DiskLeg, here: DiskLeg = HERE) -> Chunks | FullCopy:
    """Of `union`."""
    running = leg(here)
    assert isinstance(running, Leg)
    return union(running, leg(returning))


@pytest.mark.parametrize("returning", [LEFT, APART, replace(APART, cleared=39), replace(APART, cleared=37)])
def test_what_either_side_noted_is_copied(returning: DiskLeg) -> None:
    assert answer(returning) == Chunks(((1, 2), (9, 9)))


def test_a_leg_that_only_left_needs_no_look_at_its_own_clearing() -> None:
    assert answer(replace(LEFT, cleared=20)) == Chunks(((1, 2), (9, 9)))


@pytest.mark.parametrize(
    ("returning", "reason"),
    [
        (replace(LEFT, array=UUID(int=7)), "it is a leg of array 00000000-0000-0000-0000-000000000007"),
        (replace(LEFT, created=1), "it is a leg of an array of that name which was made at another time"),
        (replace(LEFT, device=DEVICES[0]), "it is a clone of the running leg"),
        (replace(LEFT, size_sectors=1 << 16), "it mirrors 33554432 bytes, not 67108864"),
        (replace(LEFT, raid_disks=3), "it is of a mirror of 3 legs, not 2"),
        (replace(LEFT, roles=[0, FAULTY]), "it is marked as faulty"),
        (replace(LEFT, roles=[1, 0]), "both legs say that they are leg 0"),
        (replace(LEFT, features=1 | 8), "it has BAD_BLOCKS pending"),
        (replace(LEFT, features=1 | 2), "a full copy onto it was never finished"),
        (replace(LEFT, features=0), "the returning leg: the leg has no bitmap"),
        (replace(LEFT, bitmap_events=39), "the returning leg: the bitmap is out of date"),
        (replace(LEFT, chunk=131072), "its bitmap has chunks of 131072 bytes, not 65536"),
        (replace(LEFT, events=37), "the array cleared its bitmap at event 38, after the leg had left at 37"),
        (THIRD, "a third disk was put in the running leg's place"),
        (replace(APART, cleared=40), "the leg's bitmap was cleared at event 40, without the array (38)"),
        (
            replace(APART, cleared=36),
            "both were written apart; the array's bitmap was cleared at 38, its at 36",
        ),
    ],
)
def test_a_leg_whose_difference_nobody_knows_is_copied_in_full(returning: DiskLeg, reason: str) -> None:
    full = answer(returning)
    assert isinstance(full, FullCopy)
    assert full.reason.startswith(reason)


def test_of_three_legs_one_that_was_a_target_apart_is_copied_in_full() -> None:
    here = replace(HERE, raid_disks=3, roles=[0, FAULTY, FAULTY])
    source = replace(APART, raid_disks=3, roles=[FAULTY, 1, 2])
    assert answer(source, here) == Chunks(((1, 2), (9, 9)))
    full = answer(replace(source, device_flags=1), here)
    assert full == FullCopy("it was copied to without this leg, and may not have noted all of that")
    followed = replace(source, device_flags=1, roles=[0, 1, 2])
    assert answer(followed, here) == Chunks(((1, 2), (9, 9)))


def test_a_running_array_without_a_bitmap_copies_in_full() -> None:
    full = answer(LEFT, here=replace(HERE, features=0))
    assert full == FullCopy("the running array: the leg has no bitmap")


def test_a_blank_disk_is_copied_in_full() -> None:
    running = leg(HERE)
    assert isinstance(running, Leg)
    blank = asyncio.run(read_leg(Image(bytes(1 << 20))))
    assert union(running, blank) == FullCopy("there is no superblock")


def test_a_guided_copy_that_was_cut_short_goes_on() -> None:
    assert answer(replace(LEFT, features=1 | 2 | 128)) == Chunks(((1, 2), (9, 9)))


class Lost(Exception):
    """A chunk would stay different."""


class Life:
    """Two nodes with a disk each, which come and go; every rejoin is looked at."""

    def __init__(self, seed: int, decide: Union) -> None:
        self._random, self._decide = Random(seed), decide
        self._swaps = self._random.choice((0, 0.02, 0.2))  # in how many of its steps a disk is changed
        self._writes, self._fresh = itertools.count(1), fresh_disks()
        self._disks = [next(self._fresh), next(self._fresh)]
        self._retired = list[Disk]()
        self._arrays: dict[int, Array] = {}
        self.partial, self.full = 0, 0
        first = self._disks[0]
        first.slot, first.bits = 0, set(range(CHUNKS))
        self._arrays[0] = Array(first, self._writes)
        self._arrays[0].changed()

    def live(self, steps: int) -> None:
        """Anything, in any order. Raises Lost."""
        deeds = [self._write] * 5 + [self._rejoin] * 3
        deeds += [
            self._idle,
            self._tidy,
            self._tidy,
            self._lose,
            self._cut,
            self._stop,
            self._start,
            self._start,
        ]
        for _ in range(steps):
            self._random.choice(deeds)(self._random.randrange(2))
            if self._random.random() < self._swaps:
                self._swap(self._random.randrange(2))

    def _in_use(self, disk: Disk) -> bool:
        return any(disk in array.members + array.copied_to for array in self._arrays.values())

    def _write(self, node: int) -> None:
        if array := self._arrays.get(node):
            array.write(self._random.randrange(CHUNKS))

    def _idle(self, node: int) -> None:
        if array := self._arrays.get(node):
            array.idle()

    def _tidy(self, node: int) -> None:
        if array := self._arrays.get(node):
            array.tidy(bits=self._random.random() < 0.7)

    def _tear(self, array: Array) -> None:
        """Something that reached only one of the disks."""
        match self._random.randrange(4):
            case 0:
                array.write(self._random.randrange(CHUNKS), reaches=self._random.randrange(2))
            case 1:
                array.idle(reaches=1)
            case 2:
                array.changed(reaches=1)
            case _:
                pass

    def _lose(self, node: int) -> None:
        array = self._arrays.get(node)
        if array and self._disks[1 - node] in array.members + array.copied_to:
            self._tear(array)
            array.lose(self._disks[1 - node])

    def _cut(self, node: int) -> None:
        if array := self._arrays.pop(node, None):
            if self._random.random() < 0.5:
                array.members.reverse()  # which disk a torn update reaches
            self._tear(array)

    def _stop(self, node: int) -> None:
        if array := self._arrays.pop(node, None):
            array.idle()

    def _start(self, node: int) -> None:
        disk = self._disks[node]
        if not (self._in_use(disk) or disk.slot is None or disk.recovering):
            self._arrays[node] = Array(disk, self._writes)

    def _swap(self, node: int) -> None:
        if not self._in_use(self._disks[node]):
            self._retired.append(self._disks[node])
            old = self._random.random() < 0.6
            pool = self._retired if old else [next(self._fresh)]
            self._disks[node] = self._random.choice(pool)
            self._retired = [disk for disk in self._retired if disk is not self._disks[node]]

    def _rejoin(self, node: int) -> None:
        if node not in self._arrays:
            self._cut(1 - node)
            self._start(node)
        array, disk = self._arrays.get(node), self._disks[1 - node]
        if array is None or not array.degraded or self._in_use(disk):
            return
        [running] = array.members
        blank = NoLeg(Instead.BLANK, "blank")
        todo = self._decide(running.leg(), blank if disk.slot is None else disk.leg())
        if isinstance(todo, FullCopy):
            self.full += 1
            disk.device = next(self._fresh).device
            array.renew_bitmap()
            array.begin_copy(disk, guided=False)
            chunks = set(range(CHUNKS))
        else:
            self.partial += 1
            chunks = {chunk for first, last in todo.ranges for chunk in range(first, last + 1)}
            differing = {chunk for chunk in range(CHUNKS) if disk.data[chunk] != running.data[chunk]}
            if lost := differing - chunks:
                raise Lost(lost)
            assert not array.would_refuse(disk)
            array.bits |= chunks
            running.bits |= chunks
            array.begin_copy(disk, guided=True)
        if self._random.random() < 0.2:
            array.copy({chunk for chunk in chunks if self._random.random() < 0.5})
            return
        array.copy(chunks)
        array.end_copy()
        assert disk.data == running.data


@pytest.mark.parametrize("seeds", [range(start, start + 200) for start in range(0, 1_000, 200)])
def test_no_life_loses_a_chunk(seeds: range) -> None:
    lives = [Life(seed, union) for seed in seeds]
    for seed, life in zip(seeds, lives, strict=True):
        try:
            life.live(120)
        except Lost as lost:
            pytest.fail(f"seed {seed}: {lost}")
    assert sum(life.partial for life in lives) > sum(life.full for life in lives)


def test_a_rule_left_out_loses_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejoin, "_lost_notes", lambda *_: "")
    with pytest.raises((Lost, AssertionError)):
        live_all(range(1_000), union)


def test_md_alone_would_lose_chunks() -> None:
    def running_side_only(running: Leg, returning: Leg | NoLeg) -> Chunks | FullCopy:
        whole = union(running, returning)
        return whole if isinstance(whole, FullCopy) or running.bitmap is None else running.bitmap.dirty

    with pytest.raises(Lost):
        live_all(range(20), running_side_only)


def live_all(seeds: range, decide: Union) -> None:
    """Raises Lost, or AssertionError when md would refuse."""
    for seed in seeds:
        Life(seed, decide).live(120)


@pytest.fixture
def pair() -> tuple[Array, Disk]:
    """A running array and the second leg, which it has just lost."""
    fresh = fresh_disks()
    array, second = Array(next(fresh), itertools.count(1)), next(fresh)
    array.members[0].slot = 0
    array.begin_copy(second, guided=False)
    array.end_copy()
    array.write(1)
    array.tidy(bits=True)
    array.lose(second)
    return array, second


def copy_to_another(array: Array, chunks: set[int]) -> Disk:
    """Begin a full copy to a disk that was never seen before, by the house's procedure."""
    another = Disk(device=9)
    array.renew_bitmap()
    array.begin_copy(another, guided=False)
    array.copy(chunks)
    return another


def test_a_leg_that_another_disk_had_begun_to_replace_is_copied_in_full(pair: tuple[Array, Disk]) -> None:
    array, second = pair
    array.write(5)
    array.lose(copy_to_another(array, {5}))
    assert isinstance(union(array.members[0].leg(), second.leg()), FullCopy)


def test_a_leg_that_ran_alone_for_long_is_no_proof_that_it_saw_the_clearing(pair: tuple[Array, Disk]) -> None:
    array, second = pair
    array.write(5)
    array.lose(copy_to_another(array, set(range(CHUNKS))))
    apart = Array(second, itertools.count(1_000))
    for _ in range(30):
        apart.write(2)
        apart.idle()
    assert second.events > array.cleared  # which is all that md asks
    full = union(array.members[0].leg(), second.leg())
    assert isinstance(full, FullCopy)
    assert full.reason.startswith("both were written apart")
