"""Who is alive: what one path, a silence, a goodbye, a pause and a new life of an agent mean."""

from __future__ import annotations

import pytest

from agent.core.effects import Kind
from agent.core.ids import NodeId, PathId
from agent.core.states import Action, PathState, PeerStanding
from tests.spec.machine import FAILS, HANGS, Turn
from tests.spec.reference import CHAIN, ENI_0, ENI_1, GROUPWARE, A, B, cluster, running
from tests.spec.world import World

DEAD_AFTER_MS = 2_000


def standing(world: World, node: NodeId, of: NodeId) -> PeerStanding:
    return world.node(node).state.peers[of].standing


def told(world: World, node: NodeId, kind: Kind) -> list[int]:
    return [at for at, teller, notice in world.notices if teller == node and notice.kind is kind]


@pytest.mark.parametrize("cut", [ENI_0, ENI_1])
def test_any_one_path_keeps_a_peer_alive(cut: PathId) -> None:
    world = running()
    world.network.cut(cut, A, B)
    world.network.cut(cut, B, A)
    world.run(60_000)
    assert standing(world, B, A) is PeerStanding.ALIVE
    assert world.node(B).state.peers[A].paths[cut].state is PathState.DOWN
    assert len(told(world, B, Kind.PATH_DOWN)) == 1
    assert world.in_service(GROUPWARE) == [A]


def test_a_peer_is_lost_exactly_dead_after_its_last_heartbeat_on_the_last_path() -> None:
    world = running()
    last = max(path.heard_at for path in world.node(B).state.peers[A].paths.values())
    world.power_off(A)
    world.run(DEAD_AFTER_MS * 2)
    assert told(world, B, Kind.PEER_LOST) == [last + DEAD_AFTER_MS]


def test_a_one_way_path_is_down_for_both() -> None:
    world = running()
    world.network.cut(ENI_0, A, B)
    world.run(DEAD_AFTER_MS * 3)
    for node, peer in ((A, B), (B, A)):
        paths = world.node(node).state.peers[peer].paths
        assert (paths[ENI_0].state, paths[ENI_1].state) == (PathState.DOWN, PathState.UP)


def test_a_path_that_works_again_is_up_again() -> None:
    world = running()
    world.network.cut(ENI_0, A, B)
    world.run(DEAD_AFTER_MS * 3)
    world.network.heal()
    world.run(1_000)
    assert world.node(B).state.peers[A].paths[ENI_0].state is PathState.UP
    assert len(told(world, B, Kind.PATH_UP)) == 3  # both at the start, one again


def test_a_goodbye_is_believed_at_once_and_silence_means_nothing_then() -> None:
    world = running()
    world.stop(A)
    world.run(10)
    assert standing(world, B, A) is PeerStanding.LEFT
    world.run(60_000)
    assert standing(world, B, A) is PeerStanding.LEFT
    assert world.in_service(GROUPWARE) == [A]  # what it ran still runs there, and only there


def test_a_new_life_of_an_agent_that_left_is_alive() -> None:
    world = running()
    world.stop(A)
    world.run(5_000)
    world.start(A)
    world.run(1_000)
    assert standing(world, B, A) is PeerStanding.ALIVE


def test_a_restarted_agent_is_believed_though_its_reports_count_from_one_again() -> None:
    world = running()
    world.crash(A)
    world.run(500)
    world.start(A)
    world.run(1_000)
    heard = world.node(B).state.peers[A].report
    assert heard == world.node(A).state.published
    assert heard is not None


def test_what_an_earlier_life_reported_is_forgotten_with_its_first_heartbeat() -> None:
    world = running()
    world.crash(B)
    world.run(500)
    world.script.always(B, CHAIN[0], Action.CHECK, HANGS)
    world.start(B)
    world.run(1_000)
    report = world.node(A).mind.reported(B, GROUPWARE)
    assert report is None or not report.eligible  # it still looks what runs there


def test_ones_own_pause_is_held_against_nobody() -> None:
    world = running()
    world.pause(B, 1_900)
    world.run(1_950)
    assert told(world, B, Kind.PAUSED)
    world.run(5_000)
    assert not told(world, B, Kind.PEER_LOST)
    assert world.in_service(GROUPWARE) == [A]


def test_a_peer_that_died_during_ones_own_pause_is_lost_dead_after_waking() -> None:
    world = running()
    world.run(100)
    world.pause(B, 10_000)
    world.power_off(A)
    world.run(10_000)
    woke = world.now
    world.run(1_500)
    assert not told(world, B, Kind.PEER_LOST)
    assert world.run_until(lambda: bool(told(world, B, Kind.PEER_LOST)), within_ms=1_000)
    assert told(world, B, Kind.PEER_LOST)[0] <= woke + DEAD_AFTER_MS + 250


def test_a_quiet_node_asks_to_be_woken_once_an_interval_and_no_more() -> None:
    world = running()
    world.breaks(A, CHAIN[1])
    world.script.always(A, CHAIN[1], Action.RECOVER, FAILS)
    world.power_off(B)  # nowhere to go: it waits for its next try
    world.run(20_000)
    seen = world.steps(A)
    world.run(5_000)
    assert world.steps(A) - seen <= 40


def test_a_start_that_takes_long_costs_no_more_steps_than_waiting() -> None:
    world = World(cluster())
    world.script.always(A, CHAIN[0], Action.RESTORE, Turn(takes_ms=20_000))
    world.start()
    world.run(1_000)
    seen = world.steps(A)
    world.run(10_000)
    assert world.steps(A) - seen <= 10 * 13  # 8 heartbeats, at most 5 ticks a second
