"""An hour without AWS, in virtual time: with healthy peers nothing is done, and nobody is fenced.

The cores are the real ones. A kit whose API or IMDS doesn't answer says UNKNOWN (tests/aws_faults shows
that of every kit); here every check says so for an hour, or the arbiter's store is away, or both.
"""

from __future__ import annotations

import pytest

from agent.core.states import Action
from tests.simulation.run import HEALED_WITHIN
from tests.simulation.witness import all_well, in_service

HOUR_MS = 3_600_000
AWAY = {  # what is away -> (the kits' APIs and IMDS, the arbiter's store)
    "EC2 or IMDS": (True, False),
    "DynamoDB or S3": (False, True),
    "all of AWS": (True, True),
}


@pytest.mark.parametrize("away", AWAY)
@pytest.mark.parametrize(
    "seed", [2, 5]
)  # two nodes that must fence before they take over; three that needn't
def test_an_hour_without_aws_moves_and_fences_nothing(seed: int, away: str) -> None:
    world = in_service(seed)
    owners = {each.name: world.serving(each.name) for each in world.cluster.hierarchies}
    world.kits.unanswered, world.arbiter.away = AWAY[away]
    world.done.clear()
    world.run(HOUR_MS)
    assert set(world.done) == {Action.CHECK.value}
    assert world.done[Action.CHECK.value] > 100
    assert {each.name: world.serving(each.name) for each in world.cluster.hierarchies} == owners
    world.kits.unanswered = world.arbiter.away = False
    world.run(10 * world.options.grant_ms)
    assert set(world.done) == {Action.CHECK.value}
    assert all_well(world)


def test_the_same_cluster_acts_upon_a_check_that_fails() -> None:
    """Else the hour would show nothing."""
    world = in_service(0)
    world.done.clear()
    hierarchy = world.cluster.hierarchies[0]
    owner = world.machines[world.serving(hierarchy.name)[0]]
    owner.working.discard(hierarchy.resources[0].tag)
    world.run(HEALED_WITHIN * world.options.grant_ms)
    assert world.done[Action.RECOVER.value] == 1
