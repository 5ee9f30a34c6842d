"""Every order of events in a small world, up to a bound: `python -m tests.simulation.search --help`.

The bound is a number of deviations from what happens of itself (see `small`) within a number of heartbeat
intervals; whatever may go wrong at whichever moment, in any order and combination, that often and within that
time. Equal worlds are looked at once: the one that has more deviations left.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from tests.simulation.small import STEP_MS, A, B, Small, begun, deviations, usual

CLOCKS = ((0, 0), (4, -4), (-4, 4))  # in thousandths: the owner's and its peer's


@dataclass
class Found:
    """What a search saw."""

    states: int = 0
    moves: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    broken: tuple[str, ...] = ()  # the story of the first violation

    def look(self, world: Small, owner: str) -> None:
        """States that show that something was tried."""
        self.states += 1
        holders = world.holders()
        self.seen["nobody has authority"] += not holders
        self.seen["the other one has authority"] += bool(holders) and holders != [owner]
        self.seen["the arbiter was written"] += world.version > 0
        self.seen["campaigns"] += any(
            state.quorum.seats[name].claim is not None and me not in holders
            for me, state in world.states.items()
            for name in state.quorum.seats
        )


@dataclass
class Level:
    """Worlds of one instant: by what they are, how many deviations are left, and how they came about."""

    left: dict[bytes, int] = field(default_factory=dict)
    todo: list[list[tuple[bytes, tuple[str, ...]]]] = field(default_factory=list)  # by deviations left

    def add(self, content: bytes, left: int, story: tuple[str, ...]) -> None:
        """Unless it was there with as many left."""
        digest = hashlib.blake2b(content, digest_size=12).digest()
        if self.left.get(digest, -1) < left:
            self.left[digest] = left
            while len(self.todo) <= left:
                self.todo.append([])
            self.todo[left].append((content, story))

    def pop(self) -> tuple[bytes, int, tuple[str, ...]] | None:
        """One with the most left."""
        while self.todo:
            if self.todo[-1]:
                content, story = self.todo[-1].pop()
                left = len(self.todo) - 1
                if self.left[hashlib.blake2b(content, digest_size=12).digest()] == left:
                    return content, left, story
            else:
                self.todo.pop()
        return None


def search(most: int, intervals: int, clocks: tuple[int, int] = (0, 0)) -> Found:
    """Every world within `intervals` and with at most so many deviations; ends with the first violation.

    A world that has none left goes its usual way to the next instant, and only there is looked up.
    """
    first, found = begun({A: clocks[0], B: clocks[1]}), Found()
    (owner,) = first.holders()
    level, following, ends = Level(), Level(), first.now + intervals * STEP_MS
    level.add(first.frozen(), most, ())
    while True:
        if (got := level.pop()) is None:
            if not following.left:
                return found
            level, following = following, Level()
            continue
        content, left, story = got
        world = Small.thawed(content)
        now = world.now
        line = story
        try:
            for told, act in deviations(world) if left else ():
                after, line = Small.thawed(content), (*story, told)
                found.moves += 1
                act(after)
                if after.now < ends:
                    (following if after.now > now else level).add(after.frozen(), left - 1, line)
            line = story
            while world.now == now:
                found.look(world, owner)
                told, act = usual(world)
                line = (*story, told)
                found.moves += 1
                act(world)
                if left:
                    break
        except AssertionError as broken:
            found.broken = (*line, str(broken))
            return found
        if world.now < ends:
            (following if world.now > now else level).add(world.frozen(), left, story)


def main() -> int:
    """0 if nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.search", description=__doc__)
    parser.add_argument("--deviations", type=int, default=2)
    parser.add_argument("--intervals", type=int, default=8)
    args = parser.parse_args()
    began = time.monotonic()
    with ProcessPoolExecutor() as pool:
        several = list(
            pool.map(search, [args.deviations] * len(CLOCKS), [args.intervals] * len(CLOCKS), CLOCKS)
        )
    for clocks, found in zip(CLOCKS, several, strict=True):
        print(f"clocks {clocks}: {found.states:,} states, {found.moves:,} moves; {dict(found.seen)}")
        if found.broken:
            print("  " + "\n  ".join(found.broken))
    print(f"{args.deviations} deviations in {args.intervals} intervals; {time.monotonic() - began:.0f} s")
    return 1 if any(each.broken for each in several) else 0


if __name__ == "__main__":
    sys.exit(main())
