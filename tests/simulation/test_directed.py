"""What each schedule of `directed` is for really happens, and breaks nothing unless its rule is left out."""

from __future__ import annotations

import pytest

from agent.core.events import HeartbeatHeard, MessageHeard
from agent.core.messages import VoteRequest
from tests.simulation import directed, mutants
from tests.simulation.directed import CANDIDATE, GRANT_MS, MARGIN_MS, OWNER, SERVICE, Heard, Scene
from tests.simulation.violation import Violation


def test_a_voter_that_restarted_is_asked_in_vain_while_its_grant_counts() -> None:
    scene = directed.a_voter_restarts()
    former = scene.voter_heard[0].life
    assert [each for each in _asked(scene) if each.granted and each.life != former]
    assert scene.holders(SERVICE) == [CANDIDATE]


def test_a_slow_owner_ends_before_its_fast_voter_is_free_and_by_less_than_the_allowance() -> None:
    scene = directed.clocks_run_apart()
    ended_at = max(each.granted_until for each in scene.voter_heard)
    assert ended_at < scene.now < ended_at + GRANT_MS // 100  # so without it the voter were free first


def test_a_heartbeat_that_echoes_nothing_binds_as_its_answer_is_counted() -> None:
    scene = directed.a_new_life_is_heard_once()
    heard = [
        (each.at, each.event)
        for each in scene.voter_heard
        if isinstance(each.event, HeartbeatHeard) and each.event.peer == OWNER
    ]
    former = heard[0][1].incarnation
    assert {event.answers for _, event in heard if event.incarnation != former} == {None}
    last_of_former = max(at for at, event in heard if event.incarnation == former)
    free_but_for_the_new_life = last_of_former + (GRANT_MS + MARGIN_MS) * 1.01 + 2
    assert [each for each in _asked(scene) if each.granted and each.at > free_but_for_the_new_life]
    assert scene.holders(SERVICE) == [CANDIDATE]


@pytest.mark.parametrize("name", directed.SCHEDULES)
def test_without_the_rule_two_own_it(name: str) -> None:
    with (
        mutants.broken(name),
        pytest.raises(Violation, match=rf"\(1\) {SERVICE} is owned by \['{OWNER}', '{CANDIDATE}'\]"),
    ):
        directed.SCHEDULES[name]()
    assert mutants.find(name, seeds=()).startswith("schedule ")


def _asked(scene: Scene) -> list[Heard]:
    """When the candidate asked the voter."""
    return [
        each
        for each in scene.voter_heard
        if isinstance(each.event, MessageHeard)
        and each.event.peer == CANDIDATE
        and isinstance(each.event.message, VoteRequest)
    ]
