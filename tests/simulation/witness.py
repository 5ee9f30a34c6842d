"""A cluster in which all is well, and what its cores have had done."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from agent.core.effects import Effect, Fence, FenceMyself, StartAction
from agent.core.ids import NodeId, Tag
from agent.core.states import Action
from tests.simulation import options as options_of
from tests.simulation.machine import Agent, Machine
from tests.simulation.options import Options
from tests.simulation.run import HEALED_WITHIN, well
from tests.simulation.world import World


class Witness(World):
    """Also counts what the cores have had done."""

    def __init__(self, options: Options) -> None:
        self.done = Counter[str]()
        self.checks = Counter[tuple[NodeId, Tag]]()
        super().__init__(options)

    def _carry_out(self, machine: Machine, agent: Agent, effect: Effect) -> None:
        if isinstance(effect, StartAction):
            self.done[effect.action.value] += 1
            self.checks[machine.name, effect.tag] += effect.action is Action.CHECK
        elif isinstance(effect, Fence | FenceMyself):
            self.done[type(effect).__name__] += 1
        super()._carry_out(machine, agent, effect)


def in_service(seed: int) -> Witness:
    """A cluster at the balanced preset's own times, with an arbiter, in which all is well."""
    drawn = options_of.draw(seed, scale=1)
    world = Witness(replace(drawn, cluster=replace(drawn.cluster, arbiter=True)))
    assert world.run_until(lambda: all_well(world), HEALED_WITHIN * drawn.grant_ms)
    world.run(10 * drawn.grant_ms)
    return world


def all_well(world: World) -> bool:
    return all(well(world, each.name) for each in world.cluster.hierarchies)
