"""What an operator asked for, and what forbids it later."""

from __future__ import annotations

from agent.core.messages import BringInService
from tests.simulation.witness import in_service

SEED = 31  # two nodes, nothing replicated, no fencing


def test_a_wish_ends_where_the_owners_agent_was_stopped_meanwhile_and_what_it_ran_goes_on() -> None:
    """Seeds 341,149 and 459,196: a node that is parted from the owner learns that from the arbiter alone."""
    world = in_service(SEED)
    name, grant_ms = world.cluster.hierarchies[0].name, world.options.grant_ms
    (owner,) = world.serving(name)
    (other,) = set(world.cluster.nodes) - {owner}
    world.network.cuts.update(world.network.links)
    world.run(2 * grant_ms)
    world.command(other, BringInService(hierarchy=name, node=other))
    world.stop(owner)
    assert world.run_until(lambda: world.machines[owner].agent is None, within_ms=grant_ms)
    world.run(5 * grant_ms)  # the arbiter's promise to the owner ends; whoever runs it twice is a Violation
    assert world.serving(name) == [owner]
