"""Whose copy of the data may be used: what a kit says, what voters know, what an operator insists on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core import replicas
from agent.core.effects import Answer, Kind, Severity
from agent.core.events import ReplicasChanged
from agent.core.ids import NodeId, Tag
from agent.core.messages import TrustReplica
from agent.core.model import Hierarchy
from agent.core.state import Goal
from agent.core.states import Action
from tests.spec.machine import Turn
from tests.spec.reference import (
    CYDE,
    FS,
    GROUPWARE,
    A,
    B,
    C,
    bring,
    cluster,
    groupware,
    take_out,
    with_resource,
)
from tests.spec.seen import of_kind, starts, why_not
from tests.spec.world import World

OTHER = Tag("mirror-dir2")


def replicated(*, nodes: tuple[NodeId, ...] = (A, B), may_lose: str = "") -> Hierarchy:
    return with_resource(groupware(nodes=nodes), FS, replicated=True, may_lose=may_lose)


def beginning(*, nodes: tuple[NodeId, ...] = (A, B), may_lose: str = "") -> World:
    """Agents run; no copy counts yet."""
    world = World(cluster(replicated(nodes=nodes, may_lose=may_lose), nodes=nodes))
    world.start()
    world.run(40_000)
    return world


def trust(world: World, node: NodeId, *, first: bool, asked: NodeId | None = None) -> Answer:
    """`kage mirror create` (first) or `kage mirror force`, asked of a node."""
    request = world.command(asked or node, TrustReplica(hierarchy=GROUPWARE, node=node, first=first))
    assert world.run_until(lambda: request in world.answers, within_ms=6_000)
    return world.answers[request]


def begun(
    *, nodes: tuple[NodeId, ...] = (A, B), copies: tuple[NodeId, ...] = (A, B), may_lose: str = ""
) -> World:
    """In service on A, with these copies whole."""
    world = beginning(nodes=nodes, may_lose=may_lose)
    assert trust(world, A, first=True).accepted
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=5_000)
    say(world, A, *copies)
    world.run(1_000)
    return world


def say(world: World, node: NodeId, *whole: NodeId, tag: Tag = FS) -> None:
    """The kit of a node says whose copies are whole."""
    machine = world.machines[node]
    assert machine.agent is not None
    at = machine.clock(world.now)
    world.step(machine, machine.agent, ReplicasChanged(at, GROUPWARE, tag, whole))


def in_sync(world: World, node: NodeId) -> tuple[NodeId, ...]:
    return world.node(node).mind.authority.register(GROUPWARE).in_sync


def test_where_no_copy_counts_yet_nobody_starts_it_and_status_says_why() -> None:
    world = beginning()
    assert world.in_service(GROUPWARE) == []
    assert starts(world, Action.RESTORE) == []
    assert why_not(world, A) == why_not(world, B) == "no node's replica of fs-dir1 counts yet"


def test_the_first_copy_is_named_by_an_operator_and_from_then_on_the_register_says_it() -> None:
    world = beginning()
    answer = trust(world, B, first=True, asked=A)
    assert answer.accepted
    assert "db-02's replica is the truth from now on" in answer.text
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=5_000)
    world.run(1_000)
    assert in_sync(world, A) == in_sync(world, B) == (B,)
    assert why_not(world, A) == "its replica lacks writes that db-02 may have"


def test_a_second_first_copy_is_refused() -> None:
    world = begun(copies=(A,))
    world.command(A, take_out())
    world.run(2_000)
    answer = trust(world, B, first=True)
    assert not answer.accepted
    assert "the replica of db-01 counts already" in answer.text


def test_a_node_that_is_not_in_sync_takes_nothing_over_however_long_the_owner_is_gone() -> None:
    world = begun(copies=(A,))
    world.power_off(A)
    world.run(120_000)
    assert world.in_service(GROUPWARE) == []
    assert starts(world, Action.RESTORE, B) == []


def test_a_node_that_is_in_sync_takes_over_and_the_returning_owner_counts_until_it_is_dropped() -> None:
    world = begun()
    world.power_off(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=10_000)
    assert in_sync(world, B) == (A, B)
    say(world, B, B)
    assert in_sync(world, B) == (B,)
    world.boot(A)
    world.run(5_000)
    assert why_not(world, A) == "its replica lacks writes that db-02 may have"


def test_a_dropped_copy_is_an_alarm_and_a_whole_one_again_is_told() -> None:
    world = begun()
    say(world, A, A)
    say(world, A, A, B)
    dropped, added = of_kind(world, Kind.REPLICAS_CHANGED)[-2:]
    assert (dropped.text, dropped.severity) == ("goes on without db-02", Severity.ALARM)
    assert (added.text, added.severity) == ("db-02 is in sync again", Severity.INFO)


@pytest.mark.parametrize("lost", [True, False])
def test_what_may_be_lost_is_told_when_a_lost_owner_is_replaced_and_not_else(lost: bool) -> None:
    world = begun(may_lose="the last 5 s")
    world.script.once(B, FS, Action.RESTORE, Turn(takes_ms=5_000))  # in which its kit speaks
    if lost:
        world.power_off(A)
    else:
        world.command(A, bring(B))
    taken_up = world.node(B).mind.machines[GROUPWARE].life
    assert world.run_until(lambda: taken_up.goal is Goal.UP, within_ms=20_000)
    assert not taken_up.arrived
    say(world, B, B)
    (told,) = of_kind(world, Kind.REPLICAS_CHANGED, B)[-1:]
    costs = "; fs-dir1: the last 5 s" if lost else ""
    assert (told.text, told.severity) == (f"goes on without db-01{costs}", Severity.ALARM)


def test_only_the_owners_kit_is_believed() -> None:
    world = begun()
    say(world, B, B)
    world.run(1_000)
    assert in_sync(world, A) == in_sync(world, B) == (A, B)


def test_the_last_copy_is_never_dropped() -> None:
    world = begun(copies=(A,))
    say(world, A)
    assert in_sync(world, A) == (A,)


def test_nothing_is_agreed_before_it_is_on_disk() -> None:
    world = begun()
    mind, at = world.node(A).mind, world.machines[A].clock(world.now)
    assert replicas.agreed(mind, GROUPWARE, (A, B), at)
    assert not replicas.agreed(mind, GROUPWARE, (A,), at)
    say(world, A, A)
    assert not replicas.agreed(mind, GROUPWARE, (A,), at)
    world.run(100)
    assert replicas.agreed(mind, GROUPWARE, (A,), world.machines[A].clock(world.now))


def test_with_two_replicated_resources_a_node_is_in_sync_when_both_its_copies_are() -> None:
    spec = replicated()
    second = replace(spec.resources[0], tag=OTHER)
    world = World(cluster(replace(spec, resources=(second, *spec.resources))))
    world.start()
    world.run(1_000)
    assert trust(world, A, first=True).accepted
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=5_000)
    say(world, A, A, B)
    assert in_sync(world, A) == (A,)  # nothing is known of the other one yet
    say(world, A, A, B, tag=OTHER)
    assert in_sync(world, A) == (A, B)
    say(world, A, A)
    assert in_sync(world, A) == (A,)


def test_what_kits_said_under_an_earlier_ownership_is_forgotten() -> None:
    world = begun()
    say(world, A, A, B)
    world.command(A, bring(B))
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=5_000)
    say(world, B, B)
    world.run(1_000)
    assert world.node(A).mind.machines[GROUPWARE].life.replicas == {}


@pytest.mark.parametrize("first", [True, False])
def test_no_copy_is_trusted_while_another_node_may_be_writing(first: bool) -> None:
    world = begun(copies=(A,))
    answer = trust(world, B, first=first)
    assert not answer.accepted
    assert "db-01 runs it" in answer.text
    assert in_sync(world, B) == (A,)


def test_a_forced_copy_goes_in_service_and_what_is_lost_is_said() -> None:
    world = begun(copies=(A,))
    world.power_off(A)
    world.run(5_000)
    answer = trust(world, B, first=False)
    assert answer.accepted
    assert "what only db-01 has is lost" in answer.text
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=5_000)
    (told,) = of_kind(world, Kind.REPLICA_TRUSTED, B)
    assert told.severity is Severity.ALARM
    world.boot(A)
    world.run(5_000)
    assert in_sync(world, A) == (B,)
    assert world.in_service(GROUPWARE) == [B]


def test_a_copy_may_be_forced_by_a_node_that_has_just_started_once_the_owner_had_its_time_to_be_heard() -> (
    None
):
    world = begun(copies=(A,))
    for node in (A, B):
        world.power_off(node)
    world.boot(B)
    world.run(1_000)
    assert "may still run it" in trust(world, B, first=False).text
    world.run(60_000)  # the startup grace, and more
    assert trust(world, B, first=False).accepted
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=5_000)


def test_force_is_refused_where_there_is_nothing_to_force() -> None:
    world = begun()
    world.command(A, take_out())
    world.run(2_000)
    assert "holds every acknowledged write: kage in-service groupware" in trust(world, B, first=False).text
    unreplicated = World(cluster())
    unreplicated.start()
    unreplicated.run(3_000)
    assert "has no replicated resource" in trust(unreplicated, B, first=False).text


def test_an_operators_word_is_over_after_a_while() -> None:
    world = begun(nodes=(A, B, C), copies=(A,))
    world.power_off(A)
    world.run(5_000)
    world.machines[B].disk_full = True  # the takeover can't be recorded
    assert trust(world, B, first=False).accepted
    world.run(70_000)
    world.machines[B].disk_full = False
    world.run(70_000)
    assert world.in_service(GROUPWARE) == []
    assert why_not(world, B) == "its replica lacks writes that db-01 may have"


def test_an_owner_that_ran_on_without_its_own_copy_gives_it_up_once_it_is_down() -> None:
    world = begun()
    say(world, A, B)  # its own disk has failed: md goes on with the other leg alone
    world.breaks(A, CYDE)
    world.command(A, bring(B))
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=10_000)
    world.power_off(B)
    world.run(60_000)
    assert world.in_service(GROUPWARE) == []
