"""What stands between a node and a hierarchy whose owner is lost: isolation, an operator, fencing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.effects import Kind, Notice
from agent.core.ids import NodeId
from agent.core.messages import BringInService, Confirm
from agent.core.model import Confirmation
from agent.core.states import Action, Fencing, Quorum, Reason
from tests.spec.reference import FS, GROUPWARE, A, B, C, cluster, groupware, running
from tests.spec.world import OUTSIDE, World

DEAD_AFTER_MS, MINUTE_MS = 2_000, 60_000


def told(world: World, kind: Kind) -> list[Notice]:
    return [notice for _, _, notice in world.notices if notice.kind is kind]


def waits_for(world: World, node: NodeId) -> Reason | None:
    agent = world.machines[node].agent
    assert agent is not None
    return agent.node.state.hierarchies[GROUPWARE].waits_for


# Fencing


def test_without_quorum_a_lost_owner_is_fenced_before_anything_starts_elsewhere() -> None:
    world = running(fencing=Fencing.REQUIRED)  # the rules see that nothing runs on two living nodes
    world.network.part(A, B)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=5_000)
    assert world.shots == [(B, A)]
    assert not world.machines[A].powered


def test_while_the_fence_gives_no_evidence_nothing_starts_and_an_alarm_is_raised_once() -> None:
    world = running(fencing=Fencing.REQUIRED)
    world.fence_works = False
    world.network.part(A, B)
    world.run(MINUTE_MS)
    assert world.in_service(GROUPWARE) == [A]
    assert waits_for(world, B) is Reason.FENCING
    assert len(world.shots) >= 5, "it is tried again and again"
    assert len(told(world, Kind.FENCING_FAILED)) == 1


def test_an_owner_that_is_back_before_there_was_evidence_keeps_it() -> None:
    world = running(fencing=Fencing.REQUIRED)
    world.fence_works = False
    world.network.part(A, B)
    world.run(10_000)
    world.network.heal()
    world.run(MINUTE_MS)
    assert world.in_service(GROUPWARE) == [A]
    assert not told(world, Kind.OWNERSHIP_TAKEN)[1:], "nobody else ever took it"


def test_an_operators_word_stands_for_evidence() -> None:
    world = running(fencing=Fencing.REQUIRED)
    world.fence_works = False
    world.power_off(A)
    world.run(10_000)
    assert waits_for(world, B) is Reason.FENCING
    request = world.command(B, BringInService(hierarchy=GROUPWARE, owner_is_off=A))
    world.run(2_000)
    assert world.answers[request].accepted
    assert world.in_service(GROUPWARE) == [B]


def test_evidence_is_over_as_soon_as_the_node_is_heard_again() -> None:
    world = running(fencing=Fencing.REQUIRED)
    world.power_off(A)
    world.run(10_000)
    world.boot(A)
    world.run(10_000)
    agent = world.machines[B].agent
    assert agent is not None
    assert A not in agent.node.state.fences


def test_at_a_cold_start_nodes_that_were_never_heard_are_fenced_too() -> None:
    world = World(cluster(fencing=Fencing.REQUIRED, startup_grace_ms=5_000))
    world.start(B)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=15_000)
    assert world.shots == [(B, A)]


def test_an_owner_whose_agent_was_stopped_is_not_shot() -> None:
    world = running(fencing=Fencing.REQUIRED)
    world.stop(A)
    world.run(MINUTE_MS)
    assert world.occupied(GROUPWARE) == [A]
    assert not world.shots


THREE = {"quorum": Quorum.MAJORITY, "nodes": (A, B, C), "witnesses": (C,)}


def test_with_a_majority_fencing_goes_beside_and_nothing_waits_for_it() -> None:
    world = running(groupware(nodes=(A, B)), fencing=Fencing.BESIDE, **THREE)
    world.fence_works = False
    world.power_off(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=5_000)
    assert world.shots == [(B, A)]


def test_with_a_majority_and_required_fencing_the_winner_waits_for_evidence() -> None:
    world = running(groupware(nodes=(A, B)), fencing=Fencing.REQUIRED, **THREE)
    world.fence_works = False
    world.power_off(A)
    world.run(MINUTE_MS // 2)
    assert world.in_service(GROUPWARE) == []
    assert waits_for(world, B) is Reason.FENCING
    world.fence_works = True
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=15_000)


@pytest.mark.parametrize("asked_at", [B, C])
def test_with_a_majority_an_operators_word_reaches_the_winner_from_any_node(asked_at: str) -> None:
    world = running(groupware(nodes=(A, B)), fencing=Fencing.REQUIRED, **THREE)
    world.fence_works = False
    world.power_off(A)
    world.run(10_000)
    request = world.command(asked_at, BringInService(hierarchy=GROUPWARE, owner_is_off=A))
    world.run(2_000)
    assert world.answers[request].accepted
    assert world.in_service(GROUPWARE) == [B]


def test_a_node_that_gets_no_majority_fences_nobody() -> None:
    world = running(groupware(nodes=(A, B)), fencing=Fencing.REQUIRED, **THREE)
    world.network.part(A, B)
    world.network.part(B, C)
    world.run(MINUTE_MS)
    assert not world.shots
    assert world.in_service(GROUPWARE) == [A]


# isolation_check


@pytest.mark.parametrize(("reached", "owners"), [(0, []), (1, []), (2, [B]), (OUTSIDE, [B])])
def test_a_node_that_reaches_less_than_half_of_the_outside_takes_nothing_over(
    reached: int, owners: list[str]
) -> None:
    world = running(isolation_check=True)
    world.reached[B] = reached
    world.power_off(A)
    world.run(10_000)
    assert world.in_service(GROUPWARE) == owners
    assert bool(told(world, Kind.ISOLATED)) == (not owners)


def test_it_is_asked_anew_until_the_outside_is_back() -> None:
    world = running(isolation_check=True)
    world.reached[B] = 0
    world.power_off(A)
    world.run(10_000)
    world.reached[B] = OUTSIDE
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=2 * DEAD_AFTER_MS)
    assert len(told(world, Kind.ISOLATED)) == 2, "cut off, and back"


def test_while_all_is_well_nobody_asks_the_outside() -> None:
    world = running(isolation_check=True)
    asked = len(world.probes)
    world.run(MINUTE_MS)
    assert len(world.probes) == asked


# confirm_failover


def asking(*, default: bool) -> World:
    """db-01 is dead, and db-02 asks an operator."""
    spec = replace(groupware(), confirm=Confirmation(within_ms=MINUTE_MS, default=default))
    world = running(spec)
    world.power_off(A)
    world.run(5_000)
    assert waits_for(world, B) is Reason.CONFIRMING
    assert len(told(world, Kind.CONFIRMATION)) == 1
    return world


@pytest.mark.parametrize("default", [True, False])
def test_without_an_answer_the_default_is_one(default: bool) -> None:
    world = asking(default=default)
    world.run(MINUTE_MS - 10_000)
    assert world.in_service(GROUPWARE) == []
    world.run(10_000)
    assert world.in_service(GROUPWARE) == ([B] if default else [])


def test_yes_takes_it_at_once_and_no_leaves_it_until_yes_is_said() -> None:
    world = asking(default=True)
    world.command(B, Confirm(hierarchy=GROUPWARE, take=False))
    world.run(10 * MINUTE_MS)
    assert world.in_service(GROUPWARE) == []
    world.command(B, Confirm(hierarchy=GROUPWARE, take=True))
    world.run(1_000)
    assert world.in_service(GROUPWARE) == [B]


def test_an_owner_that_comes_back_makes_the_question_void() -> None:
    world = asking(default=True)
    world.boot(A)
    world.run(10_000)
    request = world.command(B, Confirm(hierarchy=GROUPWARE, take=True))
    world.run(1_000)
    assert not world.answers[request].accepted
    assert "no node asks" in world.answers[request].text


def test_what_an_operator_asks_for_needs_no_confirmation_and_no_outside() -> None:
    spec = replace(groupware(), confirm=Confirmation(within_ms=MINUTE_MS, default=False))
    world = running(spec, isolation_check=True)
    world.reached[B] = 0
    world.power_off(A)
    world.run(5_000)
    world.command(B, BringInService(hierarchy=GROUPWARE))
    world.run(2_000)
    assert world.in_service(GROUPWARE) == [B]


# Reasserting


def test_what_a_former_owner_may_undo_late_is_said_again_after_1_5_and_30_seconds() -> None:
    resources = tuple(replace(each, reasserts=each.tag == FS) for each in groupware().resources)
    world = running(groupware(resources=resources))
    world.power_off(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=5_000)
    world.run(2 * MINUTE_MS)
    starts = [(at, start) for at, node, start in world.actions if node == B and start.tag == FS]
    restored = next(at for at, start in starts if start.action is Action.RESTORE) + 10
    said = [at - restored for at, start in starts if start.action is Action.REASSERT]
    assert [round(each, -3) for each in said] == [1_000, 5_000, 30_000]
