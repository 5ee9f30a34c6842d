"""A machine that is shut down in good order: what it runs goes to another node, or waits for its return."""

from __future__ import annotations

import pytest

from agent.core.effects import Kind
from agent.core.ids import NodeId
from agent.core.states import Action, OnShutdown
from tests.spec.machine import FAILS
from tests.spec.reference import CHAIN, CYDE, GROUPWARE, A, B, bring, groupware, running, take_out
from tests.spec.world import World


def order(world: World, node: NodeId, action: Action) -> list[str]:
    return [start.tag for _, at, start in world.actions if at == node and start.action is action]


def running_and_staying() -> World:
    """In service on db-01, which keeps it when it is shut down."""
    return running(groupware(on_shutdown=OnShutdown.STOP))


def test_another_node_runs_it_before_the_machine_is_off() -> None:
    world = running()
    world.depart(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=1_000)
    assert order(world, A, Action.REMOVE) == list(reversed(CHAIN))
    assert any(each.kind is Kind.DEPARTING for _, _, each in world.notices)
    world.stop(A)
    world.run(2_000)
    world.power_off(A)
    world.run(10_000)
    assert world.in_service(GROUPWARE) == [B]
    world.boot(A)
    world.run(10_000)
    assert world.in_service(GROUPWARE) == [B]


def test_without_another_node_it_is_stopped_in_order_and_comes_back_with_the_machine() -> None:
    world = running()
    world.power_off(B)
    world.run(5_000)
    world.shut_down(A)
    assert order(world, A, Action.REMOVE) == list(reversed(CHAIN))
    world.boot(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=60_000)


def test_what_waits_for_its_machine_is_stopped_in_order_and_taken_by_nobody() -> None:
    world = running_and_staying()
    world.shut_down(A)
    assert order(world, A, Action.REMOVE) == list(reversed(CHAIN))
    world.run(20_000)
    assert world.occupied(GROUPWARE) == []
    world.boot(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=10_000)


def test_what_waits_for_its_machine_is_not_taken_by_a_peer_that_restarts() -> None:
    world = running_and_staying()
    world.shut_down(A)
    world.power_off(B)
    world.run(1_000)
    world.boot(B)
    world.run(20_000)
    assert world.occupied(GROUPWARE) == []


def test_an_operator_may_take_what_waits_for_a_machine_that_is_off() -> None:
    world = running_and_staying()
    world.shut_down(A)
    world.command(B, bring(B))
    world.run(1_000)
    assert world.occupied(GROUPWARE) == []
    world.command(B, type(bring())(hierarchy=GROUPWARE, owner_is_off=A))
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=5_000)


def test_a_node_that_leaves_takes_nothing_any_more() -> None:
    world = running()
    world.depart(B)
    world.run(500)  # its peer knows
    request = world.command(A, bring(B))
    world.run(500)
    assert not world.answers[request].accepted
    assert "its machine is stopping" in world.answers[request].text
    world.power_off(A)
    world.run(20_000)
    assert world.occupied(GROUPWARE) == []


def test_a_takeover_that_has_begun_goes_on_to_a_third_node_or_ends_here() -> None:
    world = running()
    world.power_off(A)
    assert world.run_until(lambda: world.occupied(GROUPWARE) == [B], within_ms=10_000)
    world.depart(B)  # in the midst of its restores
    world.run(2_000)
    assert world.occupied(GROUPWARE) == []
    assert order(world, B, Action.REMOVE)[-1] == CHAIN[0]


def test_what_an_operator_has_begun_is_finished() -> None:
    world = running_and_staying()
    world.command(A, take_out())
    world.depart(A)
    world.run(2_000)
    assert world.occupied(GROUPWARE) == []
    assert world.node(B).mind.authority.register(GROUPWARE).held


def test_a_successor_that_fails_meanwhile_does_not_give_it_back() -> None:
    world = running()
    world.script.always(B, CYDE, Action.RESTORE, FAILS)
    world.depart(A)
    world.run(5_000)
    assert A not in world.occupied(GROUPWARE)
    assert order(world, A, Action.RESTORE) == list(CHAIN)  # at its start, and never again


def test_an_agent_that_is_restarted_instead_runs_it_again() -> None:
    world = running_and_staying()
    world.depart(A)
    world.run(2_000)
    world.stop(A)
    world.run(3_000)
    world.start(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=10_000)


@pytest.mark.parametrize("on_shutdown", OnShutdown)
def test_leaving_twice_is_leaving_once(on_shutdown: OnShutdown) -> None:
    world = running(groupware(on_shutdown=on_shutdown))
    world.depart(A)
    world.depart(A)
    world.run(2_000)
    world.depart(A)
    world.run(2_000)
    assert order(world, A, Action.REMOVE) == list(reversed(CHAIN))
