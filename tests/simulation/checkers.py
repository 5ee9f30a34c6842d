"""What must always hold, looked at through a clock that no node sees. It drives nothing.

(1) at most one node has authority over a hierarchy, as it counts itself, at any real instant;
(2) a restore or recovery starts only with authority, and
(2b) while nothing of the hierarchy may run on any other machine: one whose agent an operator stopped in
     good order is left out, and so is one that was suspended, until it has been awake for the margin;
(3) what is restored holds every write that was acknowledged;
(4) a step's effects: persist, say, fence, cancel, act, answer, tell;
(6) nobody spins: the steps within one G are few.
(5), service returns once the faults stop, is `run`'s to ask.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from agent.core.authority.contract import Standing
from agent.core.effects import Effect, StartAction
from agent.core.ids import HierarchyId
from tests.simulation.machine import Agent, Machine
from tests.spec.rules import ORDER

if TYPE_CHECKING:
    from tests.simulation.world import World


MOST_STEPS = 500  # of one node about one peer within one G; heartbeats alone are about 50


class Violation(AssertionError):
    """A promise was broken."""


class Checkers:
    """Raises Violation at the first step that breaks a rule."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._period = self._steps = 0
        self.counts: Counter[str] = Counter()

    def count(self, what: str) -> None:
        """Something happened that shows what a run was worth."""
        self.counts[what] += 1

    def stepped(self, machine: Machine, agent: Agent, effects: list[Effect]) -> None:
        """(1) and (4)."""
        period = self._world.now // self._world.options.grant_ms
        self._steps = self._steps + 1 if period == self._period else 0
        self._period = period
        self._require(self._steps < MOST_STEPS * len(self._world.machines) ** 2, machine, "(6) it spins")
        if len(effects) > 1:
            ranks = [ORDER[type(each)] for each in effects]
            self._require(ranks == sorted(ranks), machine, f"(4) effects out of order: {effects}")
        authority, claims = agent.node.mind.authority, agent.node.state.quorum.claims
        for name in claims:
            if authority.standing(name, machine.clock(self._world.now)) is Standing.HELD:
                machine.unattended.discard(name)
                holders = self._world.holders(name)
                self._require(len(holders) == 1, machine, f"(1) {name} is owned by {holders}")

    def starts(self, machine: Machine, agent: Agent, start: StartAction) -> None:
        """(2), (2b) and (3)."""
        world, name = self._world, start.hierarchy
        standing = agent.node.mind.authority.standing(name, machine.clock(world.now))
        self._require(standing is Standing.HELD, machine, f"(2) {start} while {standing}")
        others = [each for each in self._others(machine, name) if not self._excused(each, name)]
        told = [(each.name, sorted(each.occupied[name])) for each in others]
        self._require(not others, machine, f"(2b) {start} while it may run on {told}")
        if world.options.mirrored:
            lack = world.mirrors[name].check(machine)
            self._require(not lack, machine, f"(3) {start}: {lack}")
        self.count("starts")

    def woke(self, machine: Machine, boots: int) -> None:
        """A suspended machine has the margin to find out that it is late."""
        world = self._world
        due = machine.woke_at + 2 * world.cluster.margin_ms
        if machine.powered and machine.boots == boots and machine.asleep_until <= world.now:
            world.at(due, self._awake_for_long, machine, boots)

    def _awake_for_long(self, machine: Machine, boots: int) -> None:
        if not machine.powered or machine.boots != boots or machine.asleep_until > self._world.now:
            return
        for name, tags in machine.occupied.items():
            others = self._others(machine, name)
            if tags and others and not any(self._excused(each, name) for each in (machine, *others)):
                where = [each.name for each in others]
                self._require(False, machine, f"(2b) {name} still runs here, and on {where}")

    def _others(self, machine: Machine, name: HierarchyId) -> list[Machine]:
        return [each for each in self._world.machines.values() if each is not machine and each.runs(name)]

    def _excused(self, machine: Machine, name: HierarchyId) -> bool:
        recently = self._world.now - machine.woke_at <= 2 * self._world.cluster.margin_ms
        return name in machine.unattended or recently

    def _require(self, holds: bool, machine: Machine, what: str) -> None:
        if not holds:
            raise Violation(f"at {self._world.now} ms on {machine.name}: {what}")
