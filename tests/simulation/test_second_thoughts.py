"""What was asked for or given away in other circumstances, and comes to effect later."""

from __future__ import annotations

import pytest

from agent.core.ids import NodeId
from agent.core.messages import BringInService
from tests.simulation.witness import Witness, in_service

SEED = 31  # two nodes and an arbiter, nothing replicated, no fencing
STOPS = 28  # the same, guarded, and with on_authority_lost = "stop"


def roles(world: Witness) -> tuple[NodeId, NodeId]:
    """Who owns the hierarchy, and who doesn't."""
    (owner,) = world.serving(world.cluster.hierarchies[0].name)
    (other,) = set(world.cluster.nodes) - {owner}
    return owner, other


def test_a_wish_ends_where_the_owners_agent_was_stopped_meanwhile_and_what_it_ran_goes_on() -> None:
    """Seeds 341,149 and 459,196: a node that is parted from the owner learns that from the arbiter alone."""
    world = in_service(SEED)
    name, grant_ms, (owner, other) = world.cluster.hierarchies[0].name, world.options.grant_ms, roles(world)
    world.network.cuts.update(world.network.links)
    world.run(2 * grant_ms)
    world.command(other, BringInService(hierarchy=name, node=other))
    world.stop(owner)
    assert world.run_until(lambda: world.machines[owner].agent is None, within_ms=grant_ms)
    world.run(5 * grant_ms)  # the arbiter's promise to the owner ends; whoever runs it twice is a Violation
    assert world.serving(name) == [owner]


def test_an_owner_that_forgot_its_release_and_was_granted_its_term_anew_goes_on() -> None:
    """Seed 482,538: whom it was released to had no majority then, and would start it when they meet."""
    world = in_service(SEED)
    name, grant_ms, (owner, other) = world.cluster.hierarchies[0].name, world.options.grant_ms, roles(world)
    machine = world.machines[owner]
    world.arbiter.unreachable.add(other)
    machine.disk_full = True
    world.command(owner, BringInService(hierarchy=name, node=other))
    world.run(2 * grant_ms)
    assert not machine.runs(name), "it is released, and the other one can't take it"
    world.network.cuts.update(world.network.links)
    machine.disk_full = False
    world.crash(owner)
    world.start(owner)
    assert world.run_until(lambda: world.serving(name) == [owner], within_ms=10 * grant_ms)
    world.network.heal()
    world.arbiter.heal()
    world.run(10 * grant_ms)  # whoever runs it twice is a Violation
    assert world.serving(name) == world.holders(name) == [owner]


@pytest.mark.parametrize("heard", [False, True], ids=["parted", "heard"])
def test_an_agent_that_is_stopped_when_its_authority_is_over_ends_what_it_ran(heard: bool) -> None:
    """Seed 691,448: it decided nothing more, and left that to the guardian, which resets the machine.

    And it says no goodbye: whoever has left in good order is waited for.
    """
    world = in_service(STOPS)
    name, grant_ms, (owner, other) = world.cluster.hierarchies[0].name, world.options.grant_ms, roles(world)
    machine = world.machines[owner]
    world.network.cuts.update(world.network.links)
    world.arbiter.unreachable.update({owner, other})
    machine.slow = 20  # so that it is still removing when its agent is told to stop
    assert machine.agent is not None
    life = machine.agent.node.state.hierarchies[name]
    assert world.run_until(lambda: life.harmless_by is not None, within_ms=4 * grant_ms)
    if heard:
        world.network.heal()
    world.stop(owner)
    assert world.run_until(lambda: not machine.runs(name), within_ms=world.cluster.stop_within_ms)
    assert machine.powered
    assert not world.counts["resets by the guardian"]
    world.arbiter.heal()
    assert world.run_until(lambda: world.serving(name) == [other], within_ms=20 * grant_ms)
