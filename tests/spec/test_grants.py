"""Promises and grants beside their slow, obvious twins: a twin remembers each millisecond it covers."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as some

from agent.core.authority.lease import Lease
from agent.core.authority.state import LeaseLife, VoterLife
from agent.core.authority.voter import DRIFT_PERCENT, Voter, binds_ms
from agent.core.ids import HierarchyId, Instant, NodeId
from agent.core.messages import VoteRecord

NAME = HierarchyId("h")
NODES = tuple(NodeId(each) for each in ("a", "b", "c", "d"))
GRANT_MS, MARGIN_MS = 20, 5
BINDS_MS = binds_ms(GRANT_MS, MARGIN_MS)
WHEN = some.integers(1, 150)


@dataclass
class SlowLease:
    """The milliseconds in which each voter grants."""

    voters: int
    granted: dict[NodeId, set[int]] = field(default_factory=dict)

    def grant(self, voter: NodeId, sent_at: int) -> None:
        self.granted.setdefault(voter, set()).update(range(sent_at, sent_at + GRANT_MS))

    def refuse(self, voter: NodeId) -> None:
        self.granted.pop(voter, None)

    def holds(self, at: int) -> bool:
        """With its own vote, more than half."""
        return 1 + sum(any(each >= at for each in times) for times in self.granted.values()) > self.voters / 2


@dataclass
class SlowVoter:
    """A vote, and the milliseconds in which it binds."""

    term: int = 0
    candidate: NodeId | None = None
    bound: set[int] = field(default_factory=set)

    def bind(self, at: int) -> None:
        self.bound.update(range(at, at + BINDS_MS))

    def heard(self, candidate: NodeId, gave_up: int, at: int) -> None:
        if candidate == self.candidate and gave_up < self.term:
            self.bind(at)

    def released(self, candidate: NodeId, gave_up: int, at: int) -> None:
        if candidate == self.candidate and gave_up >= self.term:
            self.bound = {each for each in self.bound if each < at}

    def may_vote(self, candidate: NodeId, term: int, at: int) -> bool:
        if (candidate, term) == (self.candidate, self.term):
            return True
        free = candidate == self.candidate or not any(each >= at for each in self.bound)
        return term > self.term and free

    def cast(self, candidate: NodeId, term: int, at: int) -> None:
        self.term, self.candidate = term, candidate
        self.bind(at)


GRANTS = some.lists(some.tuples(some.sampled_from(["grant", "refuse"]), some.sampled_from(NODES[1:]), WHEN))


@settings(max_examples=400, deadline=None)
@given(steps=GRANTS, asked_at=WHEN, voters=some.integers(2, 5))
def test_a_lease_holds_exactly_while_more_than_half_grant_it(
    steps: list[tuple[str, NodeId, int]], asked_at: int, voters: int
) -> None:
    lease, slow = Lease(LeaseLife(term=1), voters, GRANT_MS), SlowLease(voters)
    for what, voter, at in steps:
        if what == "grant":
            lease.granted(voter, Instant(at))
            slow.grant(voter, at)
        else:
            lease.refused(voter)
            slow.refuse(voter)
    assert lease.holds(Instant(asked_at)) == slow.holds(asked_at)
    assert lease.holds(Instant(lease.expires_at() - 1)) or lease.expires_at() == 0
    assert not lease.holds(lease.expires_at())


STEPS = some.lists(
    some.tuples(
        some.sampled_from(["heard", "released", "asked"]),
        some.sampled_from(NODES),
        some.integers(0, 6),  # a term
        some.integers(0, 15),  # milliseconds since the step before
    ),
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(steps=STEPS)
def test_a_voter_votes_for_another_exactly_when_no_promise_binds_it(
    steps: list[tuple[str, NodeId, int, int]],
) -> None:
    life = VoterLife(vote=VoteRecord(hierarchy=NAME), bound_until=Instant(0))
    voter, slow, at, serial = Voter(life, BINDS_MS), SlowVoter(), 1, 0
    for what, node, term, later_ms in steps:
        at += later_ms
        if what == "heard":
            voter.heard(node, term, Instant(at))
            slow.heard(node, term, at)
        elif what == "released":
            voter.released(node, term, Instant(at))
            slow.released(node, term, at)
        elif slow.may_vote(node, term, at):
            assert voter.may_vote(node, term, Instant(at))
            serial += 1
            voter.cast(node, term, serial, Instant(at))
            slow.cast(node, term, at)
        for other in NODES:
            for asked in range(8):
                mine, its = voter.may_vote(other, asked, Instant(at)), slow.may_vote(other, asked, at)
                assert mine == its, (what, node, term, at, other, asked)


@settings(max_examples=400, deadline=None)
@given(
    rate=some.floats(1 / (1 + DRIFT_PERCENT / 100), 1 + DRIFT_PERCENT / 100),
    sent=some.integers(0, 10**6),
    way_ms=some.integers(0, 5_000),
    grant_ms=some.integers(30, 600_000),
    margin_ms=some.integers(20, 10_000),
)
def test_an_owner_is_harmless_before_its_voter_is_free_however_the_clocks_drift(
    rate: float, sent: int, way_ms: int, grant_ms: int, margin_ms: int
) -> None:
    """Time is the owner's; the voter's clock runs at `rate`, and shows whole milliseconds, rounded down."""
    harmless = sent + grant_ms + margin_ms
    heard = int((sent + way_ms) * rate)
    free = (heard + binds_ms(grant_ms, margin_ms)) / rate
    assert free >= harmless
