"""Several legs are copied to one after the other, and what is quickly done comes first."""

from __future__ import annotations

import pytest

from recovery_kits.mirror.turns import Queued, Turns


def test_one_leg_is_copied_to_at_a_time() -> None:
    turns = Turns()
    turns.take("db-02", full=False)
    turns.take("db-02", full=False)
    with pytest.raises(Queued, match="it waits until db-02 has a whole copy"):
        turns.take("db-03", full=False)
    assert not turns.gives_way("db-02")  # it is done soon
    turns.leave("db-02")
    assert turns.free
    turns.take("db-03", full=False)


def test_a_full_copy_waits_for_a_full_copy() -> None:
    turns = Turns()
    turns.take("db-02", full=True)
    with pytest.raises(Queued):
        turns.take("db-03", full=True)
    assert not turns.gives_way("db-02")


def test_a_full_copy_gives_way_and_comes_after() -> None:
    turns = Turns()
    turns.take("db-02", full=True)
    with pytest.raises(Queued):
        turns.take("db-03", full=False)
    assert turns.gives_way("db-02")
    turns.leave("db-02")
    with pytest.raises(Queued, match="it waits until db-03 has a whole copy"):
        turns.take("db-02", full=True)
    turns.take("db-03", full=False)
    turns.leave("db-03")
    turns.take("db-02", full=True)


def test_nobody_waits_for_a_leg_that_has_gone() -> None:
    turns = Turns()
    turns.take("db-02", full=True)
    with pytest.raises(Queued):
        turns.take("db-03", full=False)
    turns.leave("db-03")
    assert not turns.gives_way("db-02")


def test_a_copy_that_an_earlier_agent_began_has_its_turn() -> None:
    turns = Turns()
    turns.found("db-02", full=True)
    turns.found("db-03", full=True)
    with pytest.raises(Queued, match="db-02"):
        turns.take("db-03", full=True)
