"""Every order of events in a small world, to a depth that every run can pay for."""

from __future__ import annotations

import pytest

from tests.simulation import mutants
from tests.simulation.search import CLOCKS, Found, search


@pytest.mark.parametrize("clocks", CLOCKS)
def test_whatever_deviates_once_one_node_at_most_runs_it(clocks: tuple[int, int]) -> None:
    found = search(1, 12, clocks)
    assert found.broken == ()
    _shows_that_much_was_tried(found)


def test_whichever_two_deviate_one_node_at_most_runs_it() -> None:
    found = search(2, 5)
    assert found.broken == ()
    assert found.seen["nobody has authority"] > 0
    assert found.seen["campaigns"] > 0


@pytest.mark.parametrize("name", ["grants_count_from_receipt", "the_arbiter_is_taken_at_once"])
def test_a_broken_protocol_is_noticed_in_a_small_world(name: str) -> None:
    with mutants.broken(name):
        found = search(1, 14)
    assert found.broken


def _shows_that_much_was_tried(found: Found) -> None:
    assert found.states > 1_000
    for what in (
        "nobody has authority",
        "the other one has authority",
        "the arbiter was written",
        "campaigns",
    ):
        assert found.seen[what] > 0, what
