"""What operators ask for: switchover, switchback, out of service, and what comes between."""

from __future__ import annotations

from dataclasses import replace

from agent.core.effects import Kind
from agent.core.ids import NodeId
from agent.core.states import Action, Switchback
from tests.spec.machine import FAILS, HANGS, UNANSWERED, Turn
from tests.spec.reference import (
    CHAIN,
    CYDE,
    FS,
    GROUPWARE,
    IP,
    A,
    B,
    C,
    bring,
    groupware,
    recover,
    running,
    take_out,
    with_resource,
)
from tests.spec.world import World


def order(world: World, node: NodeId, action: Action) -> list[str]:
    return [start.tag for _, at, start in world.actions if at == node and start.action is action]


def kinds(world: World) -> list[Kind]:
    return [notice.kind for _, _, notice in world.notices]


def test_a_switchover_stops_everything_here_before_it_starts_anything_there() -> None:
    world = running()
    request = world.command(A, bring(B))
    world.run(2_000)
    assert world.answers[request].accepted
    assert world.in_service(GROUPWARE) == [B]
    assert order(world, A, Action.REMOVE) == list(reversed(CHAIN))
    assert order(world, B, Action.RESTORE) == list(CHAIN)  # and the rules saw that none overlapped


def test_a_switchover_waits_for_nothing_but_its_actions() -> None:
    world = running()
    began = world.now
    world.command(A, bring(B))
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=5_000)
    assert world.now - began <= 200


def test_where_it_is_already_nothing_is_done() -> None:
    world = running()
    seen = len(world.actions)
    request = world.command(B, bring(A))
    world.run(500)
    assert world.answers[request].accepted
    assert "with db-01 already" in world.answers[request].text
    assert all(start.action is Action.CHECK for _, _, start in world.actions[seen:])


def test_a_target_that_is_not_fit_is_refused_with_the_reason() -> None:
    world = running()
    world.breaks(A, CYDE)
    world.script.always(A, CYDE, Action.RECOVER, FAILS)
    world.run(15_000)
    assert world.in_service(GROUPWARE) == [B]
    request = world.command(B, bring(A))
    world.run(100)
    assert not world.answers[request].accepted
    assert "db-01 can't take it: cyde_5_0 failed there" in world.answers[request].text
    assert "kage recover" in world.answers[request].text


def test_a_target_that_is_away_is_refused() -> None:
    world = running()
    world.power_off(B)
    world.run(5_000)
    request = world.command(A, bring(B))
    assert not world.answers[request].accepted
    assert "db-02 is lost" in world.answers[request].text
    assert world.in_service(GROUPWARE) == [A]


def test_if_the_target_dies_while_this_node_still_stops_it_comes_up_here_again() -> None:
    world = running()
    world.script.once(A, FS, Action.REMOVE, Turn(takes_ms=5_000))
    world.command(A, bring(B))
    world.run(500)
    world.power_off(B)
    world.run(10_000)
    assert world.in_service(GROUPWARE) == [A]


def test_if_the_target_dies_after_the_hand_over_it_comes_up_here_again() -> None:
    world = running()
    world.script.once(B, CYDE, Action.RESTORE, HANGS)
    world.command(A, bring(B))
    world.run(2_000)
    world.power_off(B)
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [A]


def test_if_the_target_of_a_failover_dies_this_node_tries_again_rather_than_nobody() -> None:
    world = running()
    world.breaks(A, CYDE)
    world.script.once(A, CYDE, Action.RECOVER, FAILS)
    world.script.once(A, FS, Action.REMOVE, Turn(takes_ms=8_000))
    world.run_until(lambda: Kind.FAILOVER_BEGUN in kinds(world), within_ms=15_000)
    world.power_off(B)
    world.run(30_000)
    assert world.in_service(GROUPWARE) == [A]


def test_a_second_command_in_the_middle_of_a_move_decides() -> None:
    world = running(groupware(nodes=(A, B, C)), nodes=(A, B, C))
    world.script.once(A, FS, Action.REMOVE, Turn(takes_ms=2_000))
    first = world.command(A, bring(B))
    world.run(500)
    second = world.command(A, bring(C))
    world.run(10_000)
    assert world.answers[first].accepted
    assert world.answers[second].accepted
    assert world.in_service(GROUPWARE) == [C]


def test_asking_for_it_here_again_in_the_middle_of_a_move_ends_the_move() -> None:
    world = running()
    world.script.once(A, FS, Action.REMOVE, Turn(takes_ms=2_000))
    world.command(A, bring(B))
    world.run(500)
    request = world.command(A, bring(A))
    world.run(10_000)
    assert world.answers[request].accepted
    assert "already" not in world.answers[request].text
    assert world.in_service(GROUPWARE) == [A]


def test_taking_it_out_in_the_middle_of_a_move_holds_it() -> None:
    world = running()
    world.script.once(A, FS, Action.REMOVE, Turn(takes_ms=2_000))
    world.command(A, bring(B))
    world.run(500)
    world.command(B, take_out())
    world.run(60_000)
    assert world.occupied(GROUPWARE) == []


def test_taking_it_out_while_the_next_owner_waits_for_its_disk_holds_it() -> None:
    world = running()
    world.machines[B].persist_ms = 1_000
    world.command(A, bring(B))
    assert world.run_until(lambda: kinds(world).count(Kind.OWNERSHIP_SOUGHT) == 2, within_ms=2_000)
    request = world.command(B, take_out())
    world.run(20_000)
    assert world.answers[request].accepted
    assert world.occupied(GROUPWARE) == []


def test_intelligent_switchback_leaves_it_where_it_is() -> None:
    world = running()
    world.command(A, bring(B))
    world.run(120_000)
    assert world.in_service(GROUPWARE) == [B]


def test_automatic_switchback_gives_it_back_once_the_better_node_was_fit_for_long_enough() -> None:
    world = running(groupware(switchback=Switchback.AUTOMATIC, switchback_after_ms=5_000))
    world.power_off(A)
    world.run(10_000)
    assert world.in_service(GROUPWARE) == [B]
    world.boot(A)
    world.run(4_500)
    assert world.in_service(GROUPWARE) == [B]
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=3_000)


def test_automatic_switchback_waits_while_the_better_node_remembers_a_failure() -> None:
    spec = groupware(switchback=Switchback.AUTOMATIC, failure_timeout_ms=60_000)
    world = running(spec)
    world.breaks(A, CYDE)
    world.script.once(A, CYDE, Action.RECOVER, FAILS)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=20_000)
    world.run(50_000)
    assert world.in_service(GROUPWARE) == [B]
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=20_000)


def test_out_of_service_is_held_over_restarts_and_reboots_of_every_node() -> None:
    world = running()
    world.command(A, take_out())
    world.run(5_000)
    assert world.occupied(GROUPWARE) == []
    world.crash(A)
    world.start(A)
    world.run(5_000)
    world.power_off(A)
    world.power_off(B)
    world.run(5_000)
    world.boot(B)
    world.run(60_000)
    world.boot(A)
    world.run(60_000)
    assert world.occupied(GROUPWARE) == []


def test_out_of_service_is_held_when_the_other_node_dies() -> None:
    world = running()
    world.command(A, take_out())
    world.run(5_000)
    world.power_off(A)
    world.run(60_000)
    assert world.occupied(GROUPWARE) == []


def test_what_is_held_comes_up_where_an_operator_asks_for_it() -> None:
    world = running()
    world.command(A, take_out())
    world.run(5_000)
    request = world.command(A, bring(B))
    world.run(5_000)
    assert world.answers[request].accepted
    assert world.in_service(GROUPWARE) == [B]


def test_what_is_held_and_asked_for_anywhere_comes_up_on_the_node_of_highest_priority() -> None:
    world = running()
    world.command(A, take_out())
    world.run(5_000)
    world.command(B, bring())
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [A]


def test_it_is_not_started_elsewhere_while_its_owners_agent_is_stopped_and_may_still_run_it() -> None:
    world = running()
    world.stop(A)
    world.run(5_000)
    request = world.command(B, bring(B))
    assert not world.answers[request].accepted
    assert "db-01 owns it and may still run it" in world.answers[request].text
    assert world.in_service(GROUPWARE) == [A]


def test_it_can_be_asked_for_while_its_owner_is_lost_and_no_node_took_it() -> None:
    world = running()
    world.script.always(B, FS, Action.RESTORE, FAILS)
    world.command(A, bring(B))
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [A]
    world.power_off(A)
    world.run(10_000)
    assert world.in_service(GROUPWARE) == []  # db-02 failed to run it
    world.script.well()
    request = world.command(B, bring(B))
    world.run(2_000)
    assert world.answers[request].accepted
    assert world.in_service(GROUPWARE) == [B]


def test_recover_mends_a_node_that_failed_so_that_it_can_be_moved_there() -> None:
    world = running()
    world.breaks(A, CYDE)
    world.script.once(A, CYDE, Action.RECOVER, FAILS)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=20_000)
    world.command(B, recover(CYDE))
    world.run(1_000)
    request = world.command(B, bring(A))
    world.run(2_000)
    assert world.answers[request].accepted
    assert world.in_service(GROUPWARE) == [A]


def test_recover_of_any_resource_has_everything_tried_again_that_failed() -> None:
    spec = with_resource(groupware(), CYDE, failover=False)
    world = running(spec)
    world.breaks(A, CYDE)
    world.script.once(A, CYDE, Action.RECOVER, FAILS)
    world.run_until(lambda: Kind.NOWHERE_TO_GO in kinds(world), within_ms=15_000)
    world.command(A, recover(IP))
    world.run(3_000)
    assert world.in_service(GROUPWARE) == [A]


def test_recover_in_the_middle_of_a_recovery_that_nobody_answers_forgets_nothing() -> None:
    world = running()
    world.breaks(A, CYDE)
    world.script.once(A, CYDE, Action.RECOVER, Turn(outcome=UNANSWERED.outcome, takes_ms=1_000))
    world.run_until(lambda: Action.RECOVER in {s.action for _, _, s in world.actions}, within_ms=15_000)
    world.command(A, recover(CYDE))
    world.run(10_000)
    assert world.in_service(GROUPWARE) == [A]


def test_recover_on_two_idle_nodes_at_once_brings_it_up_on_one() -> None:
    spec = groupware(failure_timeout_ms=3_600_000)
    world = running(spec)
    for node in (A, B):
        world.script.always(node, CYDE, Action.RESTORE, FAILS)
        world.script.always(node, CYDE, Action.RECOVER, FAILS)
    world.breaks(A, CYDE)
    world.run(20_000)
    world.command(B, take_out())
    world.run(1_000)
    world.script.well()
    world.power_off(A)
    world.boot(A)
    world.run(5_000)
    world.command(A, recover(CYDE))
    world.command(B, bring())
    world.run(5_000)
    assert len(world.in_service(GROUPWARE)) == 1


def test_an_owner_that_left_and_was_switched_off_is_replaced_on_the_operators_word() -> None:
    world = running()
    world.stop(A)
    world.run(1_000)
    world.power_off(A)
    world.run(60_000)
    assert world.in_service(GROUPWARE) == []  # nobody can tell that the machine is off
    asked = world.command(B, bring())
    world.run(1_000)
    assert not world.answers[asked].accepted
    assert "--owner-is-off db-01" in world.answers[asked].text
    asked = world.command(B, replace(bring(), owner_is_off=A))
    assert world.answers[asked].accepted
    world.run(1_000)
    assert world.in_service(GROUPWARE) == [B]
    world.boot(A)
    world.run(10_000)
    assert world.occupied(GROUPWARE) == [B]


def test_the_word_that_an_owner_is_off_is_refused_while_it_answers_or_owns_nothing() -> None:
    world = running()
    off = world.command(B, replace(bring(B), owner_is_off=A))
    other = world.command(A, replace(bring(B), owner_is_off=B))
    world.run(1_000)
    assert "its agent answers" in world.answers[off].text
    assert "db-01 does" in world.answers[other].text
    assert world.in_service(GROUPWARE) == [A]
