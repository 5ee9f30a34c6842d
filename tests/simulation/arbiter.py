"""A store outside that replaces a record only on condition, behind a network that loses and delays."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from agent.core.effects import AskArbiter
from agent.core.events import ArbiterAnswered
from agent.core.ids import HierarchyId, NodeId
from agent.core.messages import ArbiterRecord
from agent.core.states import ArbiterOutcome
from tests.simulation.machine import Agent, Machine

if TYPE_CHECKING:
    from tests.simulation.world import World

Held = tuple[ArbiterRecord, str] | tuple[None, None]


@dataclass
class Arbiter:
    """Answers within a third of G, or the client says that nobody answered."""

    world: World
    random: Random
    away: bool = False
    refuses: bool = False
    unreachable: set[NodeId] = field(default_factory=set)
    loses: float = 0.0  # requests, and answers
    late_ms: int = 0  # at most, each way: a request may be applied long after its client gave up
    held: dict[HierarchyId, Held] = field(default_factory=dict)
    versions: int = 0

    def heal(self) -> None:
        """It answers."""
        self.away = self.refuses = False
        self.loses, self.late_ms = 0.0, 0
        self.unreachable.clear()

    def is_reached_by(self, machine: Machine) -> bool:
        """And with it everything else outside."""
        return not self.away and machine.name not in self.unreachable

    def ask(self, machine: Machine, agent: Agent, asked: AskArbiter) -> None:
        """One call of a client; exactly one event comes back, if its agent lives."""
        world, limit_ms = self.world, self.world.options.grant_ms // 3
        answered: list[bool] = []

        def answer(outcome: ArbiterOutcome, held: Held, why: str) -> None:
            if not answered:
                answered.append(True)
                at = machine.clock(world.now)
                world.step(machine, agent, ArbiterAnswered(at, asked.request, outcome, held[0], held[1], why))

        def reply(outcome: ArbiterOutcome, held: Held, why: str = "") -> None:
            world.deliver_to(machine, agent, self._delay_ms(), answer, outcome, held, why)

        def arrives() -> None:
            if self.refuses:
                reply(ArbiterOutcome.REFUSED, (None, None), "access denied")
                return
            outcome, held = self._serve(asked)
            if answered:
                world.counts["arbiter writes after their time limit"] += asked.write is not None
            elif not self._lost():
                reply(outcome, held)
            elif asked.write is not None and outcome is ArbiterOutcome.OK:
                world.counts["arbiter writes whose answer was lost"] += 1

        if self.is_reached_by(machine) and not self._lost():
            world.at(world.now + self._delay_ms(), arrives)
        world.deliver_to(
            machine, agent, limit_ms, answer, ArbiterOutcome.UNANSWERED, (None, None), "no answer in time"
        )

    def _serve(self, asked: AskArbiter) -> tuple[ArbiterOutcome, Held]:
        held = self.held.get(asked.hierarchy, (None, None))
        if asked.write is None:
            return ArbiterOutcome.OK, held
        self.world.counts["arbiter writes"] += 1
        if held[1] != asked.expected:
            self.world.counts["arbiter writes refused for another's"] += 1
            return ArbiterOutcome.CONFLICT, held
        self.versions += 1
        self.held[asked.hierarchy] = asked.write, f"v{self.versions}"
        self.world.checkers.recorded(asked.write.register)
        return ArbiterOutcome.OK, self.held[asked.hierarchy]

    def _lost(self) -> bool:
        return self.loses > 0 and self.random.random() < self.loses

    def _delay_ms(self) -> int:
        return 1 + (self.random.randrange(self.late_ms) if self.late_ms else 0)
