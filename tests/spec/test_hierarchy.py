"""One hierarchy on one node: order, checks and local recovery."""

from __future__ import annotations

import pytest

from agent.core.effects import Kind, Severity
from agent.core.ids import HierarchyId, Tag
from agent.core.model import Hierarchy, Limits, Resource
from agent.core.states import Action, ResourceState
from tests.spec.machine import FAILS, HANGS, UNANSWERED, Turn
from tests.spec.reference import (
    CHAIN,
    CYDE,
    CYSS,
    FS,
    GROUPWARE,
    IP,
    ROUTE,
    A,
    B,
    bring,
    cluster,
    groupware,
    running,
    with_resource,
)
from tests.spec.seen import of_kind, starts, state
from tests.spec.world import World

# Order


def test_children_are_restored_first_and_each_waits_for_its_own() -> None:
    world = running()
    order = [start.tag for _, _, start in world.actions if start.action is Action.RESTORE]
    assert order == list(CHAIN)


def test_branches_that_do_not_depend_on_each_other_run_in_parallel() -> None:
    left, right, top = Tag("left"), Tag("right"), Tag("top")
    tree = Hierarchy(
        name=HierarchyId("fork"),
        nodes=(A, B),
        resources=(
            Resource(tag=left, kit="generic"),
            Resource(tag=right, kit="generic"),
            Resource(tag=top, kit="generic", depends_on=(left, right)),
        ),
    )
    world = World(cluster(tree))
    world.script.once(A, left, Action.RESTORE, Turn(takes_ms=300))
    world.script.once(A, right, Action.RESTORE, Turn(takes_ms=500))
    world.start()
    world.run(3_000)
    (one,), (two,), (three,) = (starts(world, Action.RESTORE, tag=tag) for tag in (left, right, top))
    assert one == two
    assert three == one + 500


def test_probing_touches_nothing() -> None:
    world = running()
    before = world.machines[B]
    assert {start.action for _, node, start in world.actions if node == B} == {Action.CHECK}
    assert not before.occupied


# Checks


def test_a_check_that_nobody_answers_is_an_alarm_and_moves_nothing() -> None:
    world = running()
    world.script.always(A, ROUTE, Action.CHECK, UNANSWERED)
    world.run(120_000)
    assert [notice.severity for notice in of_kind(world, Kind.RESOURCE_UNKNOWN)] == [Severity.ALARM]
    assert world.in_service(GROUPWARE) == [A]
    assert not starts(world, Action.RECOVER)
    assert state(world, A, ROUTE) is ResourceState.ISU


def test_once_it_is_answered_again_the_alarm_is_over() -> None:
    world = running()
    world.script.always(A, ROUTE, Action.CHECK, UNANSWERED)
    world.run(30_000)
    world.script.well()
    world.run(15_000)
    assert len(of_kind(world, Kind.RESOURCE_RECOVERED)) == 1
    assert state(world, A, ROUTE) is ResourceState.ISP


def test_a_check_out_of_time_is_a_failure_only_the_last_of_check_failures_times() -> None:
    spec = with_resource(groupware(), CYDE, check_failures=3, limits=Limits(check_ms=1_000))
    world = running(spec)
    world.script.once(A, CYDE, Action.CHECK, HANGS, HANGS)
    world.run(30_000)
    assert not starts(world, Action.RECOVER)
    world.script.once(A, CYDE, Action.CHECK, HANGS, HANGS, HANGS)
    world.run(30_000)
    assert len(starts(world, Action.RECOVER)) == 1
    assert "out of time 3 times" in of_kind(world, Kind.RESOURCE_FAILED)[0].text


def test_a_check_in_flight_when_the_hierarchy_moves_is_cut_short_and_believed_by_nobody() -> None:
    world = running()
    world.script.once(A, CYDE, Action.CHECK, HANGS)
    assert world.run_until(lambda: len(starts(world, Action.CHECK, tag=CYDE)) == 2, within_ms=15_000)
    world.command(A, bring(B))
    world.run(2_000)
    assert world.in_service(GROUPWARE) == [B]
    assert not of_kind(world, Kind.RESOURCE_FAILED)


def test_a_resource_that_cannot_be_checked_is_restored_and_removed_but_never_checked_in_service() -> None:
    world = running(with_resource(groupware(), CYDE, check_interval_ms=0))
    seen = len(world.actions)
    world.run(60_000)
    assert CYDE not in {start.tag for _, _, start in world.actions[seen:]}
    assert state(world, A, CYDE) is ResourceState.ISP


# Local recovery


def test_a_failed_resource_is_recovered_in_place_and_nothing_else_is_touched() -> None:
    world = running()
    seen = len(world.actions)
    world.breaks(A, CYDE)
    world.run(15_000)
    changes = [(s.tag, s.action) for _, _, s in world.actions[seen:] if s.action is not Action.CHECK]
    assert changes == [(CYDE, Action.RECOVER)]
    assert world.in_service(GROUPWARE) == [A]
    assert of_kind(world, Kind.RESOURCE_RECOVERED)


def test_of_several_failed_resources_the_children_are_recovered_first() -> None:
    world = running()
    for tag in (IP, FS, CYSS):
        world.breaks(A, tag)
    world.run(15_000)
    order = [start.tag for _, _, start in world.actions if start.action is Action.RECOVER]
    assert order == [FS, CYSS, IP]
    assert world.in_service(GROUPWARE) == [A]


def test_what_rests_on_a_recovered_resource_is_looked_at_at_once() -> None:
    world = running()
    world.breaks(A, CYDE)
    assert world.run_until(lambda: bool(of_kind(world, Kind.RESOURCE_RECOVERED)), within_ms=15_000)
    mended = world.now
    world.run(100)
    recent = [
        start.tag for at, _, start in world.actions if start.action is Action.CHECK and at > mended - 100
    ]
    assert {CYDE, CYSS, ROUTE, IP} <= set(recent)


def test_more_recoveries_than_allowed_within_the_window_are_a_failover() -> None:
    world = running(with_resource(groupware(), CYDE, max_recoveries=2))
    for _ in range(2):
        world.breaks(A, CYDE)
        world.run(15_000)
        assert world.in_service(GROUPWARE) == [A]
    world.breaks(A, CYDE)
    world.run(15_000)
    assert world.in_service(GROUPWARE) == [B]
    assert "2 local recoveries" in of_kind(world, Kind.FAILOVER_BEGUN)[0].text


def test_recoveries_longer_ago_than_the_window_do_not_count() -> None:
    world = running(with_resource(groupware(), CYDE, max_recoveries=1, recovery_window_ms=30_000))
    for _ in range(4):
        world.breaks(A, CYDE)
        world.run(45_000)
    assert world.in_service(GROUPWARE) == [A]


def test_without_local_recovery_a_failure_is_a_failover_at_once() -> None:
    world = running(with_resource(groupware(), CYDE, local_recovery=False))
    world.breaks(A, CYDE)
    world.run(15_000)
    assert world.in_service(GROUPWARE) == [B]
    assert not starts(world, Action.RECOVER)


@pytest.mark.parametrize("turn", [FAILS, HANGS])
def test_a_recovery_that_fails_or_hangs_is_a_failover(turn: Turn) -> None:
    spec = with_resource(groupware(), CYDE, limits=Limits(recover_ms=5_000))
    world = running(spec)
    world.script.always(A, CYDE, Action.RECOVER, turn)
    world.breaks(A, CYDE)
    world.run(20_000)
    assert world.in_service(GROUPWARE) == [B]


def test_a_recovery_that_nobody_answers_is_tried_again_and_moves_nothing() -> None:
    world = running()
    world.script.always(A, ROUTE, Action.RECOVER, UNANSWERED)
    world.breaks(A, ROUTE)
    world.run(60_000)
    assert world.occupied(GROUPWARE) == [A]
    world.script.well()
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [A]
