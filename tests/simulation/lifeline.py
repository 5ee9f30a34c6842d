"""What makes a machine harmless when its agent can't: a guardian process, or a watchdog device.

Either is told, after every step of the agent, by when what runs there must have ended; where authority isn't
renewed it is told nothing, and what it was told runs out. A guardian acts at that very moment by the
machine's clock, or when a suspended machine wakes. A watchdog counts from when it was last fed, one of two
times, the longer one that ends in time; it stands still with a suspended machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.core.ids import FOREVER
from tests.simulation.machine import Agent, Machine

if TYPE_CHECKING:
    from tests.simulation.world import World


class Lifeline:
    """Of every machine."""

    def __init__(self, world: World) -> None:
        self._world = world
        grant_ms = world.options.grant_ms
        longest_ms = grant_ms * 19 // 20 + world.cluster.takeover_margin_ms  # less than G for a renewal's way
        self._takes_ms = (longest_ms, longest_ms // 2)

    def told(self, machine: Machine, agent: Agent) -> None:
        """After a step."""
        by, world = agent.node.mind.harmless_by(), self._world
        if by == FOREVER:
            machine.bites_at = None
        elif world.options.guarded:
            if by > machine.clock(world.now):
                self._set(machine, machine.when(by))
        else:
            left_ms = by - machine.clock(world.now)
            takes_ms = next((ms for ms in self._takes_ms if ms <= left_ms), None)
            if takes_ms is not None:
                self._set(machine, world.now + takes_ms)

    def slept(self, machine: Machine, ms: int) -> None:
        """A watchdog stands still while the machine does."""
        if machine.bites_at is not None and not self._world.options.guarded:
            machine.bites_at += ms

    def _set(self, machine: Machine, bites_at: int) -> None:
        armed, machine.bites_at, machine.unaware = machine.bites_at is not None, bites_at, False
        if not armed or not machine.watched:
            machine.watched = True
            self._world.at(bites_at, self._look, machine, machine.boots)

    def _look(self, machine: Machine, boots: int) -> None:
        """Is it due? One look at a time is on the agenda while it is armed."""
        if machine.boots != boots or not machine.powered:
            return
        due = max(machine.bites_at, machine.asleep_until) if machine.bites_at is not None else None
        if due is not None and due <= self._world.now:
            self._world.die(machine, "the guardian" if self._world.options.guarded else "the watchdog")
        elif due is not None:
            self._world.at(due, self._look, machine, boots)
        else:
            machine.watched = False
