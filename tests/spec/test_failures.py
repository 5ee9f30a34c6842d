"""What becomes of failures that can't be mended in place: the next node, slower tries, force, a fence."""

from __future__ import annotations

import itertools

from agent.core.effects import Kind
from agent.core.model import Heartbeat
from agent.core.states import Action, ResourceState
from tests.spec.machine import FAILS, HANGS, UNANSWERED
from tests.spec.reference import (
    CYDE,
    CYSS,
    FS,
    GROUPWARE,
    ROUTE,
    A,
    B,
    bring,
    cluster,
    groupware,
    recover,
    running,
    take_out,
    with_resource,
)
from tests.spec.seen import of_kind, starts, state, why_not
from tests.spec.world import World


def test_a_restore_that_nobody_answers_is_tried_again_and_ends_within_5_s_of_an_answer() -> None:
    world = World(cluster())
    world.script.always(A, ROUTE, Action.RESTORE, UNANSWERED)
    world.start()
    world.run(300_000)
    tries = starts(world, Action.RESTORE, tag=ROUTE)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 2_000
    assert max(gaps) < 5_000
    assert world.occupied(GROUPWARE) == [A]
    assert len(of_kind(world, Kind.RESOURCE_UNKNOWN)) == 1
    world.script.well()
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [A]


def test_a_restore_that_fails_is_undone_and_the_next_node_takes_it() -> None:
    world = World(cluster())
    world.script.always(A, CYSS, Action.RESTORE, FAILS)
    world.start()
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [B]
    assert world.occupied(GROUPWARE) == [B]
    assert state(world, A, CYSS) is ResourceState.OSF
    assert state(world, A, FS) is ResourceState.OSU


def test_a_failed_node_is_not_tried_again_before_failure_timeout() -> None:
    world = World(cluster(groupware(failure_timeout_ms=100_000)))
    world.script.always(A, CYSS, Action.RESTORE, FAILS)
    world.start()
    world.run(5_000)
    tried = len(starts(world, Action.RESTORE, tag=CYSS))
    world.script.always(B, CYSS, Action.RECOVER, FAILS)
    world.breaks(B, CYSS)
    world.run(80_000)  # db-02 has nowhere to go
    assert len(starts(world, Action.RESTORE, tag=CYSS)) == tried
    assert world.occupied(GROUPWARE) == [B]


def test_once_failure_timeout_is_over_it_is_fit_again() -> None:
    world = World(cluster(groupware(failure_timeout_ms=100_000)))
    world.script.once(A, CYSS, Action.RESTORE, FAILS)
    world.start()
    world.run(5_000)
    world.script.always(B, CYSS, Action.RECOVER, FAILS)
    world.breaks(B, CYSS)
    world.run(110_000)
    assert world.in_service(GROUPWARE) == [A]
    assert of_kind(world, Kind.FAILURES_CLEARED)


def test_a_failure_is_remembered_over_a_restart_of_the_agent() -> None:
    world = World(cluster())
    world.script.once(A, CYSS, Action.RESTORE, FAILS)
    world.start()
    world.run(5_000)
    world.crash(A)
    world.start(A)
    world.run(2_000)
    assert "cyss_cbgrn failed there" in why_not(world, A)


def test_recover_forgets_failures_at_once() -> None:
    world = World(cluster())
    world.script.once(A, CYSS, Action.RESTORE, FAILS)
    world.start()
    world.run(5_000)
    world.command(A, recover(CYSS))
    world.run(100)
    assert why_not(world, A) == ""
    assert state(world, A, CYSS) is ResourceState.OSU


def test_if_every_node_fails_it_stays_on_the_last_and_comes_up_when_that_is_mended() -> None:
    world = World(cluster(groupware(failure_timeout_ms=3_600_000)))
    for node in (A, B):
        world.script.always(node, CYSS, Action.RESTORE, FAILS)
    world.start()
    world.run(200_000)
    tries = starts(world, Action.RESTORE, B, CYSS)
    assert len(starts(world, Action.RESTORE, A, CYSS)) == 1  # no ping-pong
    assert 2 <= len(tries) <= 6
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps == sorted(gaps)
    world.script.well()
    world.run(300_000)
    assert world.in_service(GROUPWARE) == [B]


def test_with_failover_off_a_failure_stays_where_it_is() -> None:
    world = running(with_resource(groupware(), CYDE, failover=False))
    world.script.always(A, CYDE, Action.RECOVER, FAILS)
    world.breaks(A, CYDE)
    world.run(20_000)
    assert world.occupied(GROUPWARE) == [A]
    assert "failover is off" in of_kind(world, Kind.NOWHERE_TO_GO)[0].text
    world.script.well()
    world.run(30_000)
    assert world.in_service(GROUPWARE) == [A]


def test_with_nowhere_to_go_the_alarm_is_raised_once_for_each_try() -> None:
    world = running()
    world.power_off(B)
    world.script.always(A, CYDE, Action.RECOVER, FAILS)
    world.breaks(A, CYDE)
    world.run(200_000)
    alarms, tries = of_kind(world, Kind.NOWHERE_TO_GO), starts(world, Action.RECOVER, tag=CYDE)
    assert len(alarms) == len(tries) <= 5


def test_with_nowhere_to_go_what_cannot_be_recovered_is_restored_again() -> None:
    world = running(with_resource(groupware(), CYDE, local_recovery=False))
    world.power_off(B)
    world.breaks(A, CYDE)
    world.run(60_000)
    assert world.in_service(GROUPWARE) == [A]
    assert not starts(world, Action.RECOVER)


def test_it_moves_as_soon_as_another_node_becomes_fit() -> None:
    world = running()
    world.power_off(B)
    world.script.always(A, CYDE, Action.RECOVER, FAILS)
    world.breaks(A, CYDE)
    world.run(20_000)
    assert world.occupied(GROUPWARE) == [A]
    world.boot(B)
    world.run(2_000)
    assert world.in_service(GROUPWARE) == [B]


def test_a_remove_that_fails_is_forced() -> None:
    world = running()
    world.script.always(A, FS, Action.REMOVE, FAILS)
    world.command(A, bring(B))
    world.run(5_000)
    assert starts(world, Action.FORCE_REMOVE, tag=FS)
    assert world.in_service(GROUPWARE) == [B]
    assert not world.fenced


def test_a_remove_that_cannot_be_forced_fences_the_node_and_the_other_takes_over() -> None:
    world = running()
    world.script.always(A, FS, Action.REMOVE, HANGS)
    world.script.always(A, FS, Action.FORCE_REMOVE, FAILS)
    world.command(A, bring(B))
    world.run(120_000 + 10_000)
    assert world.fenced == [A]
    assert world.in_service(GROUPWARE) == [B]


def test_a_node_that_fences_itself_refuses_to_take_out_of_service() -> None:
    world = running()
    setattr(world, "power_off", lambda _name: None)  # noqa: B010 (the fence doesn't work yet)
    for action in (Action.REMOVE, Action.FORCE_REMOVE):
        world.script.always(A, CYSS, action, FAILS)
    world.command(A, bring(B))
    world.run(1_000)
    asked = world.command(A, take_out())
    assert not world.answers[asked].accepted
    assert "fences itself" in world.answers[asked].text


def test_after_an_hour_of_calm_local_tries_begin_anew() -> None:
    rarely = Heartbeat(interval_ms=10_000, dead_after_ms=60_000)
    world = World(cluster(groupware(nodes=(A,)), heartbeat=rarely, startup_grace_ms=1_000))
    world.start(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=30_000)
    world.script.always(A, CYDE, Action.RECOVER, FAILS)
    world.breaks(A, CYDE)
    world.run(200_000)
    waits = [each.text.rsplit("next try in ", 1)[1] for each in of_kind(world, Kind.NOWHERE_TO_GO)]
    assert waits[:3] == ["30 s", "60 s", "120 s"]
    world.script.well()
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=700_000)
    world.run(3_700_000)
    world.script.always(A, CYDE, Action.RECOVER, FAILS)
    world.breaks(A, CYDE)
    world.run(30_000)
    assert of_kind(world, Kind.NOWHERE_TO_GO)[-1].text.endswith("next try in 30 s")
