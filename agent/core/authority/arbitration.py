"""This node's dealings with the arbiter over one hierarchy: an outside vote that only answers.

Keeps:
- the arbiter's vote is taken only from nobody, from this node itself, from a peer that has since voted
  for this node in a later term (it never again counts the earlier one), or from a record that this node
  has seen unchanged for as long as a voter would be bound (G and margin, stretched);
- its term only goes up, and of one term it has one candidate;
- every write is conditional on the version this node read, so a write that comes late changes
  nothing that somebody else has changed since;
- one request at a time; it isn't written at all while nobody wants its vote.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.core.authority.state import ArbitrationLife
from agent.core.effects import AskArbiter
from agent.core.events import ArbiterAnswered
from agent.core.ids import FOREVER, NEVER, HierarchyId, Instant, NodeId, later
from agent.core.messages import ArbiterRecord, Register
from agent.core.states import ArbiterOutcome

READ_EVERY_MS = 30_000  # so that a candidate knows the newest version before it is urgent
RETRY_MS = 100  # when it is urgent
RETRY_CALMLY_MS = 5_000


class Arbitration:
    """Reads and takes the arbiter's vote for one hierarchy."""

    def __init__(
        self,
        hierarchy: HierarchyId,
        life: ArbitrationLife,
        me: NodeId,
        binds_ms: int,
        next_request: Callable[[], int],
    ) -> None:
        self._hierarchy, self._life, self._me, self._binds_ms = hierarchy, life, me, binds_ms
        self._next_request = next_request

    @property
    def record(self) -> ArbiterRecord | None:
        """As this node last saw it."""
        return self._life.record

    @property
    def trouble(self) -> str:
        """Why it doesn't answer; empty if it does."""
        return self._life.trouble

    def is_asked(self, request: int) -> bool:
        """Is this the request under way?"""
        return request == self._life.asked

    def highest_term(self) -> int:
        """Of a vote of its for somebody else."""
        record = self._life.record
        return record.term if record is not None and record.candidate != self._me else 0

    def refresh(self, at: Instant) -> list[AskArbiter]:
        """Look at the record now and then, while it isn't urgent."""
        return self._ask(at) if at >= self.refresh_at() else []

    def refresh_at(self) -> Instant:
        """When that is due; FOREVER while a request is under way."""
        life = self._life
        if life.asked:
            return FOREVER
        every_ms = READ_EVERY_MS if life.read and not life.trouble else RETRY_CALMLY_MS
        if life.read and life.known_at < self.free_at():  # not seen unchanged for long enough yet
            every_ms = min(every_ms, self._binds_ms)
        first = life.asked_at == NEVER
        return max(life.next_at, NEVER if first else later(life.asked_at, every_ms))

    def knows(self, at: Instant, within_ms: int) -> bool:
        """Is what this node knows of the record no older than that?"""
        return self._life.read and at - self._life.known_at <= within_ms

    def read(self, at: Instant) -> list[AskArbiter]:
        """Look at the record now."""
        return self._ask(at) if self._may_ask(at) else []

    def want(self, term: int, register: Register, at: Instant, *, is_over: bool) -> list[AskArbiter]:
        """Try to get, or renew, its vote for this node in `term`; `is_over`: nobody counts what it holds."""
        if not self._may_ask(at):
            return []
        if not self._life.read:
            return self._ask(at)
        if (at < self.free_at() and not is_over) or self.highest_term() >= term:
            return []
        record = ArbiterRecord(register=register, term=term, candidate=self._me)
        return self._ask(at, record)

    def free_at(self) -> Instant:
        """From when its vote may be taken, if nobody changes the record meanwhile."""
        record = self._life.record
        if record is None or record.candidate in {None, self._me}:
            return NEVER
        return later(self._life.seen_at, self._binds_ms)

    def next_deadline(self) -> Instant:
        """When asking would make sense that didn't before."""
        return max(self.free_at(), self._life.next_at)

    def answered(self, event: ArbiterAnswered) -> tuple[int, Instant] | None:
        """Take in an answer; (term, sent_at) when it is the arbiter's vote for this node."""
        life = self._life
        assert self.is_asked(event.request), event
        term, sent_at = life.asked_term, life.asked_at
        life.asked = life.asked_term = 0
        if event.outcome in {ArbiterOutcome.UNANSWERED, ArbiterOutcome.REFUSED}:
            life.trouble, life.next_at = event.why or event.outcome.value, later(event.at, RETRY_MS)
            return None
        life.trouble, life.known_at = "", sent_at
        if not life.read or event.version != life.version:
            life.read, life.record, life.version = True, event.record, event.version
            life.seen_at = event.at
        if event.outcome is ArbiterOutcome.CONFLICT:
            life.next_at = later(event.at, RETRY_MS)
            return None
        return (term, sent_at) if term else None

    def _may_ask(self, at: Instant) -> bool:
        return not self._life.asked and at >= self._life.next_at

    def _ask(self, at: Instant, record: ArbiterRecord | None = None) -> list[AskArbiter]:
        life, request = self._life, self._next_request()
        life.asked, life.asked_at, life.asked_term = request, at, record.term if record else 0
        return [AskArbiter(request, self._hierarchy, record, life.version if record else None)]
