"""How long a change of the register takes where the arbiter is the only other vote."""

from __future__ import annotations

import pytest

from agent.core import replicas
from tests.simulation.witness import in_service


@pytest.mark.parametrize("seed", [4, 15])  # two nodes with replicas, no fencing
def test_whoever_took_over_alone_has_it_agreed_at_once_that_only_its_copy_counts(seed: int) -> None:
    """A mirror isn't written before; without this it would wait for the next renewal."""
    world = in_service(seed)
    name, grant_ms = world.cluster.hierarchies[0].name, world.options.grant_ms
    (owner,) = world.serving(name)
    (heir,) = set(world.cluster.nodes) - {owner}
    machine = world.machines[heir]
    assert machine.agent is not None
    mind = machine.agent.node.mind
    world.power_off(owner)
    assert world.run_until(lambda: mind.authority.register(name).in_sync == (heir,), 4 * grant_ms)
    changed_at = world.now
    assert world.run_until(
        lambda: replicas.agreed(mind, name, (heir,), machine.clock(world.now)), within_ms=grant_ms
    )
    assert world.now - changed_at <= 2 * world.options.persist_ms + 20  # here and on its way; the arbiter's
