"""What this node has promised to others: its vote.

Keeps, for each hierarchy:
- one vote in a term, durable before it is told;
- a live promise is always to the candidate of that vote; it lasts until G after this node last
  heard (or may have answered) that candidate's heartbeat, G stretched by the drift allowance;
- while a promise to another lives, and `margin_ms` longer, it votes for nobody else;
- a restarted voter can't know what it promised, so for one such time it votes for nobody new.
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.authority.state import VoterLife
from agent.core.ids import Instant, NodeId, later
from agent.core.messages import VoteRecord

DRIFT_PERCENT = 1  # clocks of two nodes may run apart by so much


class Voter:
    """Casts this node's vote for one hierarchy."""

    def __init__(self, life: VoterLife, binds_ms: int) -> None:
        self._life, self._binds_ms = life, binds_ms

    @property
    def vote(self) -> VoteRecord:
        """Term and candidate of the newest vote."""
        return self._life.vote

    def heard(self, candidate: NodeId, at: Instant) -> None:
        """A heartbeat of that node came in; it may be echoed, so the promise to it is renewed."""
        if candidate == self._life.vote.candidate:
            self._life.bound_until = max(self._life.bound_until, later(at, self._binds_ms))

    def released(self, candidate: NodeId, term: int, at: Instant) -> None:
        """The candidate itself says that it never again counts a grant up to that term."""
        vote = self._life.vote
        if candidate == vote.candidate and term >= vote.term:
            self._life.bound_until = min(self._life.bound_until, at)

    def may_vote(self, candidate: NodeId, term: int, at: Instant) -> bool:
        """Would a vote for this candidate in this term break no promise?"""
        vote = self._life.vote
        if (term, candidate) == (vote.term, vote.candidate):
            return True  # the same vote once more
        if term <= vote.term:
            return False
        return candidate == vote.candidate or at >= self._life.bound_until

    def free_at(self) -> Instant:
        """From when it may vote for somebody new."""
        return self._life.bound_until

    def cast(self, candidate: NodeId, term: int, serial: int, at: Instant) -> None:
        """Vote; it is durable when `serial` is."""
        assert self.may_vote(candidate, term, at), (candidate, term, self._life)
        life = self._life
        if (term, candidate) != (life.vote.term, life.vote.candidate):
            life.vote, life.durable, life.serial = (
                replace(life.vote, term=term, candidate=candidate),
                False,
                serial,
            )
        life.bound_until = max(life.bound_until, later(at, self._binds_ms))

    def persisted(self, serial: int) -> None:
        """Everything recorded up to that serial is on disk."""
        if self._life.serial <= serial:
            self._life.durable = True

    def told(self) -> VoteRecord | None:
        """The vote as others may hear it: None while it isn't durable."""
        return self._life.vote if self._life.durable else None


def binds_ms(grant_ms: int, margin_ms: int) -> int:
    """How long a voter is bound by a grant of `grant_ms`: stretched by the drift, and the margin beyond."""
    return grant_ms + grant_ms * DRIFT_PERCENT // 100 + 1 + margin_ms


def fresh(vote: VoteRecord, started_at: Instant, binds: int) -> VoterLife:
    """A voter that has just started: bound for as long as an earlier life's promise may bind it."""
    return VoterLife(vote=vote, bound_until=later(started_at, binds))
