"""What this node has promised to others: its vote.

Keeps, for each hierarchy:
- one vote in a term, durable before it is told;
- a live promise is always to the candidate of that vote; it lasts until G and the margin after this
  node last heard a heartbeat of that candidate (it may echo each), stretched by the drift allowance;
- until then it votes for nobody else, unless that life of the candidate gave the term up for good;
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

    def heard(self, candidate: NodeId, gave_up: int, at: Instant) -> None:
        """A heartbeat came in; it may be echoed, so a promise to its sender is renewed.

        Unless that very life of the sender says that it never again counts a grant up to `gave_up`.
        """
        if candidate == self._life.vote.candidate and gave_up < self._life.vote.term:
            self._bind(at)

    def released(self, candidate: NodeId, gave_up: int, at: Instant) -> None:
        """The candidate never again counts a grant up to that term: a promise to it is over."""
        if candidate == self._life.vote.candidate and gave_up >= self._life.vote.term:
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
            life.vote = replace(life.vote, term=term, candidate=candidate)
            life.vote_serial = serial
        self._bind(at)

    def _bind(self, at: Instant) -> None:
        self._life.bound_until = max(self._life.bound_until, later(at, self._binds_ms))


def binds_ms(grant_ms: int, margin_ms: int) -> int:
    """How long a voter is bound by a grant of `grant_ms`, and the margin beyond, by its own clock."""
    owners_ms = grant_ms + margin_ms
    return owners_ms + owners_ms * DRIFT_PERCENT // 100 + 2  # both roundings: of this sum, and of the clock


def fresh(vote: VoteRecord, started_at: Instant, binds: int) -> VoterLife:
    """A voter that has just started; an earlier life's promise may bind it."""
    return VoterLife(vote=vote, bound_until=later(started_at, binds))
