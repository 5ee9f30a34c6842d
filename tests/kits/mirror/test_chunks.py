"""Sets of chunks behave as sets, whatever their ranges."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from recovery_kits.mirror.chunks import Chunks

SETS = st.sets(st.integers(0, 200))


def members(chunks: Chunks) -> set[int]:
    """One by one."""
    return {chunk for first, last in chunks.ranges for chunk in range(first, last + 1)}


def chunks_of(numbers: set[int]) -> Chunks:
    """A `Chunks` of those."""
    return Chunks.of((number, number) for number in numbers)


@settings(deadline=None)  # the machine may be busy
@given(SETS, SETS)
def test_they_are_sets(one: set[int], other: set[int]) -> None:
    a, b = chunks_of(one), chunks_of(other)
    assert members(a | b) == one | other
    assert members(a - b) == one - other
    assert len(a) == len(one)
    assert (a == b) == (one == other)


@settings(deadline=None)  # the machine may be busy
@given(SETS)
def test_ranges_ascend_and_do_not_touch(numbers: set[int]) -> None:
    ranges = chunks_of(numbers).ranges
    assert all(first <= last for first, last in ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=80), st.integers(0, 700))
def test_bits_are_read_from_the_lowest_of_each_byte(bits: bytes, count: int) -> None:
    expected = {bit for bit in range(min(count, len(bits) * 8)) if bits[bit // 8] >> bit % 8 & 1}
    assert members(Chunks.from_bits(bits, count)) == expected


@settings(deadline=None)  # the machine may be busy
@given(SETS, st.integers(16, 80))
def test_words_say_the_same_in_pieces_of_the_length_asked_for(numbers: set[int], limit: int) -> None:
    pieces = list(chunks_of(numbers).words(limit))
    assert all(0 < len(piece) <= limit for piece in pieces)
    said = set[int]()
    for word in " ".join(pieces).split():
        first, _, last = word.partition("-")
        said |= set(range(int(first), int(last or first) + 1))
    assert said == numbers
