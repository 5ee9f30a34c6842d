"""What this node holds: the grants of others, and until when they last by this node's own clock.

Keeps: a grant counts from the moment this node *sent* what it answers, and for G only, while the
voter is bound from the moment it heard that, for G stretched by the drift allowance. So the owner's
time is over before the voter's is.
"""

from __future__ import annotations

from agent.core.authority.state import LeaseLife
from agent.core.ids import FOREVER, NEVER, Instant, NodeId, later


class Lease:
    """Counts the grants of one term."""

    def __init__(self, life: LeaseLife, voters: int, grant_ms: int) -> None:
        self.life, self._grant_ms = life, grant_ms
        self._others_needed = voters // 2  # with this node's own vote that is more than half

    def granted(self, voter: NodeId, sent_at: Instant) -> None:
        """A voter's answer to what this node sent at `sent_at`."""
        self.life.until[voter] = max(self.until(voter), later(sent_at, self._grant_ms))

    def refused(self, voter: NodeId) -> None:
        """The voter says that its vote is another's."""
        self.life.until.pop(voter, None)

    def expires_at(self, without: NodeId | None = None) -> Instant:
        """When fewer than a majority are left; `without` leaves one voter out of the count."""
        needed = self._others_needed
        if needed == 0:
            return FOREVER
        times = [at for voter, at in self.life.until.items() if voter != without]
        return sorted(times)[-needed] if len(times) >= needed else NEVER

    def until(self, voter: NodeId) -> Instant:
        """When that voter's grant ends."""
        return self.life.until.get(voter, NEVER)

    def holds(self, at: Instant) -> bool:
        """Has a majority granted this term, still?"""
        return at < self.expires_at()
