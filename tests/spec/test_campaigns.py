"""Several nodes want the same hierarchy at the same moment."""

from __future__ import annotations

import pytest

from agent.core.ids import NodeId
from agent.core.states import Quorum
from tests.spec.reference import GROUPWARE, A, B, C, bring, cluster, groupware
from tests.spec.world import World

D, E = NodeId("db-04"), NodeId("db-05")
NODES = (A, B, C, D, E)


@pytest.mark.parametrize("persist_ms", [1, 20, 100, 200])
@pytest.mark.parametrize("count", [3, 4, 5])
def test_candidates_that_meet_part_however_slow_their_disks_are(count: int, persist_ms: int) -> None:
    nodes = NODES[:count]
    world = World(cluster(groupware(nodes=nodes), nodes=nodes, quorum=Quorum.MAJORITY))
    for machine in world.machines.values():
        machine.persist_ms = persist_ms
    world.start()
    assert world.run_until(lambda: bool(world.in_service(GROUPWARE)), within_ms=60_000)
    world.run(2_000)
    (owner,) = world.in_service(GROUPWARE)
    world.power_off(owner)
    assert world.run_until(lambda: bool(world.in_service(GROUPWARE)), within_ms=30_000)


def test_what_is_released_to_a_node_doesnt_wait_for_what_came_of_its_earlier_campaigns() -> None:
    world = World(cluster(groupware(nodes=(A, B, C)), nodes=(A, B, C), quorum=Quorum.MAJORITY))
    world.start()
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [A], within_ms=60_000)
    world.network.part(A, B)
    seat = world.node(B).state.quorum.seats[GROUPWARE]
    assert world.run_until(lambda: seat.retry_at > world.node(B).state.stepped_at + 4_000, within_ms=120_000)
    world.network.heal()
    world.run(1_000)
    assert seat.retry_at > world.node(B).state.stepped_at + 2_000
    world.command(A, bring(B))
    assert world.run_until(lambda: world.in_service(GROUPWARE) == [B], within_ms=1_500)
