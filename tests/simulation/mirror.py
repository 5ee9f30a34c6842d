"""A replicated filesystem in miniature: whose replica lacks an acknowledged write.

As the design has it. Where it is mounted the application writes, whoever has authority; a write is
acknowledged when it is on every leg. A leg that doesn't answer, or is mounted itself, holds the write up
until the agent drops it, which it may once the smaller in_sync is agreed. A replica that returns is copied,
then is a leg, and is then listed again. The checker asks whether what is mounted lacks anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.authority.contract import Standing
from agent.core.authority.quorum import QuorumBased
from agent.core.effects import Durable
from agent.core.ids import HierarchyId, NodeId
from agent.core.messages import Register
from agent.core.model import Cluster
from tests.simulation.machine import Agent, Machine

if TYPE_CHECKING:
    from tests.simulation.world import World


class Mirror:
    """One hierarchy's replicas."""

    def __init__(self, world: World, name: HierarchyId) -> None:
        self._world, self.name = world, name
        spec = world.cluster.hierarchy(name)
        self._nodes, self._mount = spec.nodes, spec.resources[0].tag
        self.behind: set[NodeId] = set()  # whose replica lacks a write that was acknowledged
        self._legs: dict[NodeId, set[NodeId]] = {}  # by the machine on which it is mounted
        self._held_up: dict[NodeId, set[NodeId]] = {}  # where the write is that waits there

    def mount(self, machine: Machine) -> None:
        """A restore begins; nothing is written before it is agreed with whom this replica is in sync."""
        self._legs.pop(machine.name, None)
        self._held_up.pop(machine.name, None)

    def turn(self) -> None:
        """Each machine where it is mounted writes; its agent, if there is one, looks after the legs."""
        world = self._world
        for machine in world.machines.values():
            if machine.powered and self._mount in machine.working and machine.asleep_until <= world.now:
                self._write(machine)
                if machine.agent is not None and world.wakes(machine, machine.agent) <= world.now:
                    self._tend(machine, machine.agent)
        world.at(world.now + world.options.grant_ms // 2, self.turn)

    def _write(self, machine: Machine) -> None:
        if (legs := self._legs.get(machine.name)) is None:
            return
        has = self._held_up.setdefault(machine.name, set())
        has |= {leg for leg in legs if self._takes(machine, leg)}
        if has >= legs:
            self.behind |= set(self._nodes) - has
            self._world.counts["writes acknowledged"] += 1
            del self._held_up[machine.name]

    def _tend(self, machine: Machine, agent: Agent) -> None:
        """Drop legs that the agreed register doesn't list; unlist what is gone; copy what returns."""
        world, authority = self._world, agent.node.mind.authority
        assert isinstance(authority, QuorumBased)
        held = authority.standing(self.name, machine.clock(world.now)) is Standing.HELD
        if not held or agent.node.state.stopping or not authority.agreed(self.name):
            return
        in_sync = authority.register(self.name).in_sync
        legs = self._legs.setdefault(machine.name, set(in_sync))
        legs -= {leg for leg in legs - set(in_sync) if not self._takes(machine, leg)}
        for back in [node for node in self._nodes if node not in legs and self._takes(machine, node)]:
            self.behind -= {back} - ({back} if machine.name in self.behind else set())
            world.counts["replicas copied"] += 1
            legs.add(back)
        listed = tuple(node for node in self._nodes if node in legs and self._takes(machine, node))
        if listed != in_sync:
            world.counts["replicas dropped"] += len(listed) < len(in_sync)
            world.amend(machine, agent, self.name, listed)

    def _takes(self, machine: Machine, leg: NodeId) -> bool:
        """Does a write reach that replica? One that is mounted takes no other's writes."""
        world, me = self._world, machine.name
        if leg == me:
            return True
        other, cuts = world.machines[leg], world.network.cuts
        if not other.powered or other.asleep_until > world.now or other.runs(self.name):
            return False
        paths = (path.name for path in world.cluster.paths)
        return any((p, me, leg) not in cuts and (p, leg, me) not in cuts for p in paths)


def all_in_sync(cluster: Cluster) -> Durable:
    """What an operator began with: every copy is whole."""
    registers = (Register(hierarchy=each.name, in_sync=each.nodes) for each in cluster.hierarchies)
    return Durable(registers=tuple(registers))
