"""A replicated filesystem in miniature: how many writes each node's replica holds.

As the design has it: a write is acknowledged when it is on every replica of `in_sync`. To go on without
one of them the owner first has the smaller set agreed. A replica that returns is copied, then follows
every write, and is listed again. The checker compares what is mounted with what was acknowledged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.authority.contract import Standing
from agent.core.authority.quorum import QuorumBased
from agent.core.ids import HierarchyId, NodeId
from tests.simulation.machine import Machine

if TYPE_CHECKING:
    from tests.simulation.world import World


class Mirror:
    """One hierarchy's replicas."""

    def __init__(self, world: World, name: HierarchyId) -> None:
        self._world, self.name = world, name
        self._nodes = world.cluster.hierarchy(name).nodes
        self.replica = dict.fromkeys(self._nodes, 0)
        self.acknowledged = 0
        self.counter = 0  # makes the writes of two owners different

    def turn(self) -> None:
        """The owner, if there is one, writes; or changes with whom it is in sync."""
        for machine in self._world.machines.values():
            if machine.name in self.replica and machine.runs(self.name):
                self._write(machine)
        self._world.at(self._world.now + self._world.options.grant_ms // 2, self.turn)

    def check(self, machine: Machine) -> str:
        """What is wrong with mounting this node's replica now; empty if nothing is."""
        held, wanted = self.replica[machine.name], self.acknowledged
        return f"replica holds {held}, acknowledged is {wanted}" if held < wanted else ""

    def _write(self, machine: Machine) -> None:
        world, agent = self._world, machine.agent
        if agent is None or world.wakes(machine, agent) > world.now or agent.node.state.stopping:
            return
        authority, at = agent.node.mind.authority, machine.clock(world.now)
        assert isinstance(authority, QuorumBased)
        if authority.standing(self.name, at) is not Standing.HELD or not authority.agreed(self.name):
            return
        in_sync = authority.register(self.name).in_sync
        if not in_sync:
            world.amend(machine, agent, self.name, self._nodes)
            return
        there = [each for each in in_sync if self._reaches(machine, each)]
        if len(there) < len(in_sync):
            world.amend(machine, agent, self.name, tuple(there))
            return
        self.counter += 1
        for each in in_sync:
            self.replica[each] = self.counter
        self.acknowledged = self.counter
        back = [each for each in self._nodes if each not in in_sync and self._reaches(machine, each)]
        for each in back:
            self.replica[each] = self.counter
        if back:
            world.amend(machine, agent, self.name, tuple(n for n in self._nodes if n in (*in_sync, *back)))

    def _reaches(self, machine: Machine, node: NodeId) -> bool:
        if node == machine.name:
            return True
        other, cuts = self._world.machines[node], self._world.network.cuts
        if not other.powered or other.asleep_until > self._world.now:
            return False
        paths = (path.name for path in self._world.cluster.paths)
        return any((p, machine.name, node) not in cuts and (p, node, machine.name) not in cuts for p in paths)
