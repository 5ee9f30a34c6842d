"""A new configuration while everything runs."""

from __future__ import annotations

from dataclasses import replace

from agent.core.effects import CancelAction
from agent.core.ids import HierarchyId, Tag
from agent.core.model import Cluster, Hierarchy, Limits, Resource
from agent.core.states import Action, Phase
from tests.spec.machine import FAILS, Turn
from tests.spec.reference import (
    CHAIN,
    CYDE,
    FS,
    GROUPWARE,
    IP,
    ROUTE,
    A,
    B,
    bring,
    chain,
    cluster,
    groupware,
    running,
    with_resource,
)
from tests.spec.seen import why_not

MAIL = Tag("mail")
OTHER = Hierarchy(
    name=HierarchyId("other"), nodes=(A, B), resources=(Resource(tag=Tag("o1"), kit="generic"),)
)


def longer() -> Cluster:
    return cluster(groupware(resources=chain(*CHAIN, MAIL)))


def test_an_added_resource_is_looked_at_then_restored_where_the_hierarchy_runs() -> None:
    world = running()
    seen = len(world.actions)
    world.reload(longer())
    world.run(1_000)
    done = [start.action for _, node, start in world.actions[seen:] if (node, start.tag) == (A, MAIL)]
    assert done == [Action.CHECK, Action.RESTORE]
    assert world.in_service(GROUPWARE) == [A]


def test_after_a_resource_was_added_the_other_node_is_still_fit() -> None:
    world = running()
    world.reload(longer())
    world.run(1_000)
    assert why_not(world, B) == ""
    world.command(A, bring(B))
    world.run(2_000)
    assert world.in_service(GROUPWARE) == [B]


def test_a_removed_resource_is_left_as_it_is_and_not_looked_at_any_more() -> None:
    world = running()
    world.reload(cluster(groupware(resources=chain(*CHAIN[:-1]))))
    seen = len(world.actions)
    world.run(60_000)
    assert IP in world.machines[A].working
    assert IP not in {start.tag for _, _, start in world.actions[seen:]}


def test_a_removed_resource_takes_its_trouble_with_it() -> None:
    world = running()
    world.power_off(B)
    world.script.always(A, IP, Action.RECOVER, FAILS)
    world.breaks(A, IP)
    world.run(20_000)  # nowhere to go
    world.reload(cluster(groupware(resources=chain(*CHAIN[:-1]))))
    world.run(60_000)
    assert world.in_service(GROUPWARE) == [A]
    assert world.node(A).mind.machines[GROUPWARE].phase is Phase.RUNNING


def test_what_was_in_progress_for_a_removed_resource_is_cut_short() -> None:
    world = running()
    world.script.once(A, IP, Action.RECOVER, Turn(takes_ms=60_000))
    world.breaks(A, IP)
    assert world.run_until(
        lambda: Action.RECOVER in {s.action for _, _, s in world.actions}, within_ms=15_000
    )
    world.reload(cluster(groupware(resources=chain(*CHAIN[:-1]))))
    agent = world.machines[A].agent
    assert agent is not None
    assert any(isinstance(each, CancelAction) for each in agent.life[-1][1])


def test_an_added_hierarchy_comes_up_on_its_first_node_and_only_there() -> None:
    world = running()
    world.reload(cluster(groupware(), OTHER))
    world.run(3_000)
    assert world.in_service(OTHER.name) == [A]
    assert world.in_service(GROUPWARE) == [A]


def test_a_node_that_reloads_later_learns_who_owns_the_added_hierarchy() -> None:
    world = running()
    world.reload(cluster(groupware(), OTHER), B)
    world.run(40_000)
    assert world.in_service(OTHER.name) == [B]  # the other doesn't know of it
    world.reload(cluster(groupware(), OTHER), A)
    world.run(40_000)  # the rules see that it is never on both
    assert world.in_service(OTHER.name) == [B]


def test_nodes_that_reload_one_after_the_other_agree_on_the_first() -> None:
    for gap_ms in (1, 5, 12, 100, 3_000):
        world = running()
        world.reload(cluster(groupware(), OTHER), B)
        world.run(gap_ms)
        world.reload(cluster(groupware(), OTHER), A)
        world.run(40_000)
        assert world.in_service(OTHER.name) == [A]


def test_a_removed_hierarchy_is_left_as_it_is() -> None:
    world = running(groupware(), OTHER)
    world.reload(cluster(groupware()))
    seen = len(world.actions)
    world.run(30_000)
    assert OTHER.resources[0].tag in world.machines[A].working
    assert {start.hierarchy for _, _, start in world.actions[seen:]} == {GROUPWARE}


def test_a_removed_hierarchy_that_comes_back_is_found_running() -> None:
    world = running(groupware(), OTHER)
    world.reload(cluster(groupware()))
    world.run(5_000)
    world.reload(cluster(groupware(), OTHER))
    world.run(40_000)
    assert world.in_service(OTHER.name) == [A]


def test_the_failures_of_a_removed_hierarchy_are_forgotten() -> None:
    world = running(groupware(), replace(OTHER, failure_timeout_ms=1_000))
    world.script.always(A, OTHER.resources[0].tag, Action.RECOVER, FAILS)
    world.breaks(A, OTHER.resources[0].tag)
    world.run(12_000)
    world.reload(cluster(groupware()))
    world.run(5_000)
    assert world.node(A).state.failures == []


def test_a_changed_time_limit_holds_from_the_next_action_on() -> None:
    world = running()
    world.reload(cluster(with_resource(groupware(), CYDE, limits=Limits(check_ms=1_234))))
    seen = len(world.actions)
    world.run(15_000)
    limits = {start.limit_ms for _, _, start in world.actions[seen:] if start.tag == CYDE}
    assert limits == {1_234}


def test_a_changed_check_interval_holds_from_the_next_check_on() -> None:
    world = running()
    world.reload(cluster(with_resource(groupware(), CYDE, check_interval_ms=1_000)))
    world.run(11_000)
    seen = len(world.actions)
    world.run(10_000)
    assert len([start for _, _, start in world.actions[seen:] if start.tag == CYDE]) >= 9


def test_changed_dependencies_decide_the_order_of_the_next_move() -> None:
    world = running()
    world.reload(cluster(groupware(resources=chain(FS, CYDE, ROUTE, CHAIN[2], IP))))
    seen = len(world.actions)
    world.command(A, bring(B))
    world.run(2_000)
    restored = [start.tag for _, _, start in world.actions[seen:] if start.action is Action.RESTORE]
    assert restored == [FS, CYDE, ROUTE, CHAIN[2], IP]
