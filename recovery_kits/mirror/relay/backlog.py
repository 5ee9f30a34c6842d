"""What the kernel was told is written and the target hasn't confirmed yet: in order, bounded, and on record.

Keeps:
- nothing is accepted beyond the bound: bytes, and how long the oldest of them has been waiting;
- it is on record before it is accepted, and off the record when the target has made it durable. The record
  is memory of a file below /run: it outlives a killed relay. Where a relay has ended, whatever isn't on its
  record has reached the target's disk.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import struct
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_REGION = struct.Struct("=Q")  # bytes of a region; the file begins with it
_LEAST_REGION_BYTES, _MOST_REGIONS = 1 << 16, 1 << 20


@dataclass(frozen=True)
class Bound:
    """How far a target may be behind."""

    most_bytes: int
    within_ms: int


@dataclass(frozen=True)
class Accepted:
    """One write."""

    offset: int
    length: int
    at_ms: int


@dataclass(frozen=True)
class Report:
    """What the agent may know of it."""

    at_ms: int  # of CLOCK_MONOTONIC
    lag_bytes: int
    lag_ms: int  # for how long the oldest has been waiting
    drained: bool = False  # the relay has ended, and the target has everything

    def write(self, path: Path) -> None:
        """All of it or nothing; raises OSError."""
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self)))
        new.replace(path)

    @classmethod
    def read(cls, path: Path) -> Report | None:
        """None: there is none that can be read."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def clock_ms() -> int:
    """Milliseconds of CLOCK_MONOTONIC."""
    return time.monotonic_ns() // 1_000_000


class Record:
    """Regions of the leg with outstanding writes: one byte each in a file, and a count here."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        """A new one; raises OSError."""
        self._region_bytes = max(_LEAST_REGION_BYTES, -(-size_bytes // _MOST_REGIONS))
        self._counts = dict[int, int]()
        new = path.with_suffix(".new")
        with new.open("w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # as long as the map is there: it holds the file, too
            file.write(_REGION.pack(self._region_bytes))
            file.truncate(_REGION.size + -(-size_bytes // self._region_bytes))
            file.flush()
            self._map = mmap.mmap(file.fileno(), 0)
        new.replace(path)

    def add(self, write: Accepted) -> None:
        """It is outstanding."""
        for region in self._regions(write):
            self._counts[region] = self._counts.get(region, 0) + 1
            self._map[_REGION.size + region] = 1

    def drop(self, write: Accepted) -> None:
        """It isn't any more."""
        for region in self._regions(write):
            self._counts[region] -= 1
            if not self._counts[region]:
                del self._counts[region]
                self._map[_REGION.size + region] = 0

    def _regions(self, write: Accepted) -> range:
        first, last = write.offset, write.offset + max(write.length, 1) - 1
        return range(first // self._region_bytes, last // self._region_bytes + 1)


def recorded(path: Path) -> Iterator[tuple[int, int]]:
    """The first and the last byte of each region on a record that was left behind; raises OSError."""
    with path.open("rb") as file:
        (region_bytes,) = _REGION.unpack(file.read(_REGION.size))
        marks = file.read()
    for region in (at for at, mark in enumerate(marks) if mark):
        yield region * region_bytes, (region + 1) * region_bytes - 1


def is_kept(path: Path) -> bool:
    """Whether the relay that keeps this record lives; raises OSError."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class Backlog:
    """The outstanding writes of one connection."""

    def __init__(self, bound: Bound, record: Record) -> None:
        self._bound, self._record = bound, record
        self._writes = deque[Accepted]()
        self.bytes = 0

    def has_room(self, length: int, now_ms: int) -> bool:
        """Whether so much more may be answered now; a write that is larger than the bound goes alone."""
        if not self._writes:
            return True
        return (
            self.bytes + length <= self._bound.most_bytes and self.oldest_ms(now_ms) <= self._bound.within_ms
        )

    def accept(self, offset: int, length: int, now_ms: int) -> None:
        """It will be answered next."""
        write = Accepted(offset, length, now_ms)
        self._record.add(write)
        self._writes.append(write)
        self.bytes += length

    def confirm(self, count: int) -> None:
        """The target has made the first `count` of them durable."""
        for _ in range(count):
            write = self._writes.popleft()
            self._record.drop(write)
            self.bytes -= write.length

    def oldest_ms(self, now_ms: int) -> int:
        """For how long the oldest has been waiting; 0: none is."""
        return now_ms - self._writes[0].at_ms if self._writes else 0
