"""Three copies that come and go: whoever returns gets every chunk in which it differs, or everything."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

import pytest

from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import Leg
from recovery_kits.mirror.rejoin import FullCopy, union
from recovery_kits.mirror.superblock import Instead, NoLeg
from tests.kits.mirror.md_model import CHUNKS, Array, Disk

Union = Callable[[Leg, Leg | NoLeg], Chunks | FullCopy]
LEGS = 3


class Lost(Exception):
    """Chunks would stay different."""


@dataclass(eq=False)
class ThirdDisk(Disk):
    """One of three."""

    target: bool = False  # write-mostly

    def leg(self) -> Leg:
        """As `read_leg` would tell it."""
        known = super().leg()
        superblock = replace(known.superblock, raid_disks=LEGS, write_mostly=self.target)
        return replace(known, superblock=superblock)


class Trio(Array):
    """md with places for three. What a leg that comes in must note is written to it late."""

    def __init__(self, disk: ThirdDisk, writes: Iterator[int]) -> None:
        super().__init__(disk, writes)
        disk.target = False
        self._late: Disk | None = None

    @property
    def degraded(self) -> bool:
        """A leg is missing or being copied to."""
        return len(self.members) < LEGS

    def begin_copy(self, disk: Disk, *, guided: bool) -> None:
        """The same, into a place that is free."""
        assert isinstance(disk, ThirdDisk)
        taken = {member.slot for member in self.members}
        if not guided:
            disk.number, disk.bits = disk.device, set()
        if disk.slot is None or disk.slot in taken or not guided:
            disk.slot = min(set(range(LEGS)) - taken)
        disk.guided, disk.target = guided, True
        self.copied_to, self._late = [disk], disk
        self.changed()

    def copy(self, chunks: set[int]) -> None:
        """Copy these. Their bits are forgotten only if nobody else lacks them."""
        [target] = self.copied_to
        for chunk in chunks:
            target.data[chunk] = self.members[0].data[chunk]
        if len(self.members) + 1 == LEGS:
            self.bits -= chunks
            for disk in [*self.members, target]:
                disk.bits -= chunks

    def share_bitmap(self) -> None:
        """As the kit does before a copy counts; md's own daemon would, some seconds later."""
        if self._late is not None:
            self._late.bits |= self.bits
        self._late = None

    def tidy(self, *, bits: bool) -> None:
        """The daemon."""
        self.share_bitmap()
        super().tidy(bits=bits)


class Life:
    """Three nodes; `in_sync` is what a majority knows, and who isn't in it starts only if it is forced."""

    def __init__(self, seed: int, decide: Union, *, shares: bool = True) -> None:
        self._random, self._decide, self._shares = Random(seed), decide, shares
        self._writes, self._devices = itertools.count(1), itertools.count(LEGS)
        self._disks = [ThirdDisk(device) for device in range(LEGS)]
        self._disks[0].slot, self._disks[0].roles = 0, {0: 0}
        self._source = 0
        self._array: Trio | None = Trio(self._disks[0], self._writes)
        self.in_sync = {0}
        self.full = self.partial = self.forced = 0

    def live(self, steps: int) -> None:
        """Raises Lost."""
        for _ in range(steps):
            self._random.choices(
                (self._use, self._cut, self._start, self._rejoin, self._lose, self._force),
                weights=(8, 2, 4, 6, 2, 0.3),
            )[0]()

    def _use(self) -> None:
        if self._array is not None:
            for _ in range(self._random.randrange(4)):
                self._array.write(self._random.randrange(CHUNKS))
            if self._random.random() < 0.5:
                self._array.idle()
            if self._random.random() < 0.5:
                self._array.tidy(bits=self._random.random() < 0.7)

    def _cut(self) -> None:
        """The source loses its power; its last write reached some of the disks."""
        if self._array is not None:
            self._random.shuffle(self._array.members)
            self._array.write(self._random.randrange(CHUNKS), reaches=self._random.randrange(LEGS))
            self._array = None

    def _start(self) -> None:
        if self._array is None:
            self._promote(self._random.choice(sorted(self.in_sync)))

    def _force(self) -> None:
        node = self._random.randrange(LEGS)
        if self._array is None and self._disks[node].slot is not None and not self._disks[node].recovering:
            self.forced += node not in self.in_sync
            self._promote(node)

    def _promote(self, node: int) -> None:
        self._array, self._source, self.in_sync = Trio(self._disks[node], self._writes), node, {node}

    def _lose(self) -> None:
        node = self._random.randrange(LEGS)
        if self._array is not None and node != self._source and self._disks[node] in self._array.members:
            self.in_sync -= {node}
            self._array.lose(self._disks[node])

    def _rejoin(self) -> None:
        node, array = self._random.randrange(LEGS), self._array
        if array is None or (disk := self._disks[node]) in array.members:
            return
        running = self._disks[self._source]
        todo = self._decide(running.leg(), NoLeg(Instead.BLANK, "") if disk.slot is None else disk.leg())
        if isinstance(todo, FullCopy):
            self.full += 1
            disk.device = next(self._devices)
            array.renew_bitmap()
            array.begin_copy(disk, guided=False)
            chunks = set(range(CHUNKS))
        else:
            self.partial += 1
            chunks = {chunk for first, last in todo.ranges for chunk in range(first, last + 1)}
            if lost := {at for at in range(CHUNKS) if disk.data[at] != running.data[at]} - chunks:
                raise Lost(f"node {node}: {lost}")
            array.bits |= chunks
            for member in array.members:
                member.bits |= chunks
            array.begin_copy(disk, guided=True)
        self._finish(array, node, chunks)

    def _finish(self, array: Trio, node: int, chunks: set[int]) -> None:
        """Or it is broken off, in mid-copy or before the copy counts."""
        if self._random.random() < 0.2:
            array.copy({chunk for chunk in chunks if self._random.random() < 0.5})
            self._break_off(array, node)
            return
        array.copy(chunks)
        array.end_copy()
        if self._random.random() < 0.1:
            self._break_off(array, node)
            return
        if self._shares:
            array.share_bitmap()
        self.in_sync |= {node}

    def _break_off(self, array: Trio, node: int) -> None:
        if self._random.random() < 0.5:
            array.lose(self._disks[node])
        else:
            self._array = None  # the source dies


@pytest.mark.parametrize("seeds", [range(start, start + 200) for start in range(0, 1_000, 200)])
def test_no_life_of_three_loses_a_chunk(seeds: range) -> None:
    lives = live_all(seeds, union)
    assert sum(life.partial for life in lives) > sum(life.full for life in lives)
    assert sum(life.forced for life in lives) > 0


def test_a_copy_that_counts_before_its_notes_are_written_loses_chunks() -> None:
    with pytest.raises(Lost):
        live_all(range(1_000), union, shares=False)


def test_a_target_apart_that_is_trusted_loses_chunks() -> None:
    def trusting(running: Leg, returning: Leg | NoLeg) -> Chunks | FullCopy:
        if isinstance(returning, Leg):
            returning = replace(returning, superblock=replace(returning.superblock, write_mostly=False))
        return union(running, returning)

    with pytest.raises(Lost):
        live_all(range(3_000), trusting)


def live_all(seeds: range, decide: Union, *, shares: bool = True) -> list[Life]:
    """Raises Lost."""
    lives = []
    for seed in seeds:
        lives.append(Life(seed, decide, shares=shares))
        try:
            lives[-1].live(100)
        except Lost as lost:
            raise Lost(f"seed {seed}: {lost}") from lost
    return lives
