"""What becomes of actions: some fail, some hang, and some nobody answers."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from agent.core.effects import StartAction
from agent.core.events import ActionFinished
from agent.core.ids import ActionId
from agent.core.states import Action, Outcome
from tests.simulation.machine import Agent, Machine

if TYPE_CHECKING:
    from tests.simulation.world import World


class Kits:
    """All kits of all machines."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self.bad = 0.0  # share of actions that fail, hang, or that nobody answers
        self.unanswered = False  # True: nobody answers any, save what takes something out of service

    def act(self, machine: Machine, agent: Agent, start: StartAction) -> None:
        """Begin an action; how and when it ends is drawn."""
        agent.actions[start.id] = start
        if start.action in {Action.RESTORE, Action.RECOVER}:
            self._world.checkers.starts(machine, agent, start)
            machine.occupied.setdefault(start.hierarchy, set()).add(start.tag)
            if start.action is Action.RESTORE and start.tag not in machine.working:
                self._world.mirrors[start.hierarchy].mount(machine)
        if start.action is not Action.CHECK:
            machine.working.discard(start.tag)
        dice, takes_ms = self._random.random(), max(1, start.limit_ms // 400) * machine.slow
        outcome: Outcome | None = None
        if dice < self.bad / 3:
            outcome = Outcome.FAILED
        elif dice < self.bad * 2 / 3 or takes_ms > start.limit_ms:
            outcome, takes_ms = Outcome.TIMED_OUT, start.limit_ms
        elif (dice < self.bad or self.unanswered) and start.action not in {
            Action.REMOVE,
            Action.FORCE_REMOVE,
        }:
            outcome = Outcome.UNKNOWN
        self._world.deliver_to(machine, agent, takes_ms, self._end, machine, agent, start.id, outcome)

    def cancel(self, machine: Machine, agent: Agent, action: ActionId) -> None:
        """Cut it short."""
        self._world.deliver_to(machine, agent, 1, self._end, machine, agent, action, Outcome.CANCELLED)

    def _end(self, machine: Machine, agent: Agent, action: ActionId, outcome: Outcome | None) -> None:
        """`outcome` None: as it really is."""
        start = agent.actions.pop(action, None)
        if start is None:
            return
        if outcome is None:
            down = start.action is Action.CHECK and start.tag not in machine.working
            outcome = Outcome.FAILED if down else Outcome.OK
        if outcome is Outcome.OK and start.action in {Action.RESTORE, Action.RECOVER}:
            machine.working.add(start.tag)
        elif outcome is Outcome.OK and start.action is not Action.CHECK:
            machine.occupied.get(start.hierarchy, set()).discard(start.tag)
        at = machine.clock(self._world.now)
        self._world.step(machine, agent, ActionFinished(at, action, outcome, "as drawn"))
