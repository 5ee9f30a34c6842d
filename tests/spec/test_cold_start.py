"""Which node brings a hierarchy up when none runs it: the first time, after an outage, found running."""

from __future__ import annotations

from agent.core.effects import Kind
from agent.core.states import Action, Outcome
from tests.spec.machine import FAILS, HANGS, Turn
from tests.spec.reference import (
    CHAIN,
    ENI_0,
    ENI_1,
    FS,
    GROUPWARE,
    A,
    B,
    C,
    bring,
    cluster,
    groupware,
    running,
)
from tests.spec.world import World

GRACE_MS = 30_000


def test_the_first_start_is_on_the_node_of_highest_priority() -> None:
    world = World(cluster(groupware(nodes=(B, A))))
    world.start()
    world.run(2_000)
    assert world.in_service(GROUPWARE) == [B]


def test_the_node_that_ran_it_last_comes_first() -> None:
    world = running()
    world.command(A, bring(B))
    world.run(3_000)
    world.power_off(A)
    world.power_off(B)
    world.run(5_000)
    world.boot(A)
    world.run(5_000)
    assert world.occupied(GROUPWARE) == []  # it waits for the last owner
    world.boot(B)
    world.run(2_000)
    assert world.in_service(GROUPWARE) == [B]


def test_a_node_that_waits_for_the_last_owner_waits_no_longer_than_the_grace() -> None:
    world = running()
    world.command(A, bring(B))
    world.run(3_000)
    world.power_off(A)
    world.power_off(B)
    world.boot(A)
    world.run(GRACE_MS - 1_000)
    assert world.occupied(GROUPWARE) == []
    world.run(2_000)
    assert world.in_service(GROUPWARE) == [A]


def test_a_first_start_of_one_node_alone_waits_for_the_grace_as_well() -> None:
    world = World(cluster())
    world.start(A)
    world.run(GRACE_MS - 1_000)
    assert world.occupied(GROUPWARE) == []
    world.run(2_000)
    assert world.in_service(GROUPWARE) == [A]


def test_while_the_first_node_looks_around_slowly_the_second_waits_for_it() -> None:
    world = World(cluster())
    world.script.once(A, FS, Action.CHECK, Turn(Outcome.FAILED, takes_ms=5_000))
    world.start()
    world.run(4_000)
    assert world.occupied(GROUPWARE) == []
    world.run(3_000)
    assert world.in_service(GROUPWARE) == [A]


def test_a_first_node_whose_probe_hangs_delays_it_no_longer_than_the_grace() -> None:
    world = World(cluster(startup_grace_ms=5_000))
    world.script.always(A, FS, Action.CHECK, HANGS)
    world.start()
    world.run(10_000)
    assert world.in_service(GROUPWARE) == [B]


def test_resources_found_running_are_adopted_where_they_run() -> None:
    world = World(cluster())
    world.machines[B].occupied |= set(CHAIN)
    world.machines[B].working |= set(CHAIN)
    world.start()
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [B]
    assert {start.action for _, _, start in world.actions} == {Action.CHECK}
    assert any(notice.kind is Kind.ADOPTED for _, _, notice in world.notices)


def test_what_runs_in_part_is_completed_where_it_runs() -> None:
    world = World(cluster())
    world.machines[B].occupied |= set(CHAIN[:2])
    world.machines[B].working |= set(CHAIN[:2])
    world.start()
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [B]
    restored = [start.tag for _, _, start in world.actions if start.action is Action.RESTORE]
    assert restored == list(CHAIN[2:])


def test_an_operator_need_not_wait_for_the_grace() -> None:
    world = World(cluster())
    world.start(A)
    world.run(1_000)
    request = world.command(A, bring(A))
    world.run(1_000)
    assert world.answers[request].accepted
    assert world.in_service(GROUPWARE) == [A]


# Three nodes


def three() -> World:
    return running(groupware(nodes=(A, B, C)), nodes=(A, B, C))


def test_of_three_nodes_the_next_by_priority_takes_over() -> None:
    world = three()
    world.power_off(A)
    world.run(3_000)
    assert world.in_service(GROUPWARE) == [B]
    world.power_off(B)
    world.run(3_000)
    assert world.in_service(GROUPWARE) == [C]


def test_if_both_before_it_die_at_once_the_last_takes_over() -> None:
    world = three()
    world.power_off(A)
    world.power_off(B)
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [C]


def test_if_the_first_never_takes_it_the_next_does_one_dead_after_later() -> None:
    world = three()
    world.machines[B].persist_ms = 3_600_000  # it looks fit, but its disk never answers
    world.power_off(A)
    world.run(3_000)
    assert world.occupied(GROUPWARE) == []
    world.run(3_000)
    assert world.in_service(GROUPWARE) == [C]


def test_a_node_that_failed_is_passed_over() -> None:
    world = three()
    world.script.always(B, FS, Action.RESTORE, FAILS)
    world.power_off(A)
    world.run(5_000)
    assert world.in_service(GROUPWARE) == [C]
    assert world.occupied(GROUPWARE) == [C]


def test_an_owner_that_came_back_to_others_has_a_moment_to_be_heard_here_too() -> None:
    world = running(groupware(nodes=(A, B, C)), nodes=(A, B, C), startup_grace_ms=1_000)
    for other in (B, C):
        world.machines[other].disk_full = True  # neither can take over
    world.power_off(A)
    world.run(4_000)
    for path in (ENI_0, ENI_1):
        world.network.cut(path, A, C)  # slow to come up
    world.boot(A)
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=5_000)
    world.machines[C].disk_full = False
    world.run(1_400)
    world.network.heal()
    world.run(5_000)  # the rules see that the last node, which heard of it from the second, starts nothing
    assert world.in_service(GROUPWARE) == [A]
