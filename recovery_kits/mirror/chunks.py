"""Sets of bitmap chunks, kept as ranges: a terabyte has millions of chunks, but few runs of dirty ones.

Invariant: the ranges of a `Chunks` ascend and don't touch, so equal sets are equal objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Range = tuple[int, int]  # first and last chunk, both in it

_RUN_OR_MIXED = re.compile(rb"\xff+|[^\x00\xff]", re.DOTALL)


@dataclass(frozen=True)
class Chunks:
    """A set of chunk numbers."""

    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> Chunks:
        """Any ranges, in any order."""
        return cls(tuple(_merged(sorted(ranges))))

    @classmethod
    def from_bits(cls, bits: bytes, count: int) -> Chunks:
        """The set bits among the first `count`; bit 0 is the lowest bit of the first byte."""
        whole = bits[: -(-count // 8)]
        return cls.of((first, min(last, count - 1)) for first, last in _runs(whole) if first < count)

    def __or__(self, other: Chunks) -> Chunks:
        return Chunks.of(self.ranges + other.ranges)

    def __sub__(self, other: Chunks) -> Chunks:
        return Chunks(tuple(_without(self.ranges, other.ranges)))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def words(self, limit: int) -> Iterator[str]:
        """The ranges as md takes them, "3 7-9 …", in pieces of at most `limit` characters."""
        piece = ""
        for first, last in self.ranges:
            word = str(first) if first == last else f"{first}-{last}"
            if piece and len(piece) + 1 + len(word) > limit:
                yield piece
                piece = word
            else:
                piece = f"{piece} {word}" if piece else word
        if piece:
            yield piece


def _runs(bits: bytes) -> Iterator[Range]:
    for match in _RUN_OR_MIXED.finditer(bits):
        first = match.start() * 8
        if match[0][0] == 0xFF:
            yield first, match.end() * 8 - 1
            continue
        value = match[0][0]
        yield from ((first + bit, first + bit) for bit in range(8) if value >> bit & 1)


def _merged(ascending: Iterable[Range]) -> Iterator[Range]:
    current: Range | None = None
    for first, last in ascending:
        if current is None:
            current = first, last
        elif first <= current[1] + 1:
            current = current[0], max(current[1], last)
        else:
            yield current
            current = first, last
    if current is not None:
        yield current


def _without(ranges: Iterable[Range], holes: tuple[Range, ...]) -> Iterator[Range]:
    """Both ascend, so each hole is passed once."""
    at = 0
    for first, last in ranges:
        start = first
        while at < len(holes) and holes[at][1] < start:
            at += 1
        look = at
        while look < len(holes) and holes[look][0] <= last:
            if start < holes[look][0]:
                yield start, holes[look][0] - 1
            start = max(start, holes[look][1] + 1)
            look += 1
        if start <= last:
            yield start, last
