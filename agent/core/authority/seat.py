"""One hierarchy's authority on this node: its vote, its claim, its view of the arbiter.

What the steps of an owner (`tenure`), of a candidate (`campaign`) and of a voter (`voting`) share. Keeps:
- a claim exists only while this node's own vote is for itself;
- a term that was given up is never counted again in this life, which says so once nothing runs by it;
- a register is told once it is on disk here: what its teller could forget is believed by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.authority.arbitration import Arbitration
from agent.core.authority.lease import Lease
from agent.core.authority.ledger import Ledger
from agent.core.authority.state import Claim, QuorumLife, SeatLife
from agent.core.authority.voter import Voter, binds_ms
from agent.core.effects import Effect, Kind, Notice, Notify, Persist, Severity
from agent.core.ids import HierarchyId, Instant, NodeId, later
from agent.core.messages import Register, Stance, VoteRecord
from agent.core.model import Cluster
from agent.core.state import OwnershipLife, PeerLife
from agent.core.states import PeerStanding

ARBITER = NodeId("(arbiter)")  # the name of its vote; no node can be called so


@dataclass(frozen=True)
class Table:
    """What all seats of a node have in common."""

    me: NodeId
    cluster: Cluster
    owned: OwnershipLife
    life: QuorumLife
    peers: dict[NodeId, PeerLife]
    ledger: Ledger

    @property
    def grant_ms(self) -> int:
        """G: how long a grant lasts."""
        return self.cluster.heartbeat.dead_after_ms

    @property
    def ask_every_ms(self) -> int:
        """How often a candidate repeats its question."""
        return max(10, self.grant_ms // 100)

    def alive(self) -> list[NodeId]:
        """The peers that answer."""
        return [name for name, peer in self.peers.items() if peer.standing is PeerStanding.ALIVE]

    def next_request(self) -> int:
        """The id of a request to the arbiter."""
        self.life.request += 1
        return self.life.request


class Seat:
    """See the module."""

    def __init__(self, name: HierarchyId, life: SeatLife, table: Table) -> None:
        self.name, self.life, self.table = name, life, table
        binds = binds_ms(table.grant_ms, table.cluster.margin_ms)
        self.voter = Voter(life.voter, binds)
        self._lease: Lease | None = None
        self.arbiter = (
            Arbitration(name, life.arbiter, table.me, binds, table.next_request)
            if table.cluster.arbiter
            else None
        )

    @property
    def register(self) -> Register:
        """The newest that this node knows."""
        return self.table.owned.registers[self.name]

    @property
    def register_is_durable(self) -> bool:
        """Is it on disk here?"""
        return self.table.ledger.holds(self.life.voter.register_serial)

    @property
    def told_register(self) -> Register:
        """As others may hear it: what is on disk, and a release also where the store has failed."""
        gone = self.table.ledger.failed and self.register.owner is None
        return self.register if gone or self.register_is_durable else self.life.kept

    @property
    def told_vote(self) -> VoteRecord | None:
        """This node's vote as others may hear it: None while it isn't durable."""
        return self.voter.vote if self.table.ledger.holds(self.life.voter.vote_serial) else None

    def lease(self, claim: Claim) -> Lease:
        """The grants that a claim rests on; one for as long as the claim is the same."""
        if self._lease is None or self._lease.life is not claim.lease:
            self._lease = Lease(claim.lease, self.table.cluster.voters, self.table.grant_ms)
        return self._lease

    def said(self, peer: NodeId) -> tuple[Register, Stance] | None:
        """What a peer last said of this hierarchy."""
        report = self.table.peers[peer].report
        for each in report.hierarchies if report is not None else ():
            if each.register.hierarchy == self.name and each.stance is not None:
                return each.register, each.stance
        return None

    def grants_me(self, stance: Stance) -> bool:
        """Does that voter grant a term that this node hasn't given up?"""
        vote = stance.vote
        return vote is not None and vote.candidate == self.table.me and vote.term > self.life.gave_up

    def cast(self, candidate: NodeId, term: int, at: Instant) -> Persist:
        """Vote; it is told once it is on disk."""
        self.voter.cast(candidate, term, self.table.ledger.next_serial, at)
        return self.table.ledger.record()

    def change(self, register: Register) -> Persist:
        """Put another register in the place of this one."""
        self.table.owned.registers[self.name] = register
        self.life.voter.register_serial = self.table.ledger.next_serial
        return self.table.ledger.record()

    def keep(self) -> None:
        """A record is on disk: perhaps the register's."""
        if self.register_is_durable:
            self.life.kept = self.register

    def give_up(self, at: Instant, until_term: int = 0) -> None:
        """End a claim by which nothing runs, and never again count a grant of its term."""
        if self.life.claim is not None:
            self.lapse(until_term)
            self.let_go(at)

    def lapse(self, until_term: int = 0) -> None:
        """The same where something may run yet: the voters stay bound."""
        self.life.claim = None
        self.life.gave_up = max(self.voter.vote.term, until_term, self.life.gave_up)

    def let_go(self, at: Instant) -> None:
        """Nothing runs here by any term that was given up: this node's voters are free, itself as well."""
        if self.life.let_go < self.life.gave_up:
            self.life.let_go = self.life.gave_up
            self.voter.released(self.table.me, self.life.gave_up, at)

    @property
    def may_run_yet(self) -> bool:
        """May something run here by a term that is over?"""
        return self.life.let_go < self.life.gave_up

    @property
    def arbiters_vote_is_over(self) -> bool:
        """Has the candidate of the arbiter's record voted for this node in a later term since?

        Then no life of it counts that record again: the vote is durable, and a claim needs one of its own.
        """
        record = self.arbiter.record if self.arbiter is not None else None
        if record is None or record.candidate not in self.table.peers:
            return False
        said = self.said(record.candidate)
        vote = said[1].vote if said is not None else None
        return vote is not None and vote.candidate == self.table.me and vote.term > record.term

    def want_arbiter(self, term: int, at: Instant) -> list[Effect]:
        """Ask for the arbiter's vote in that term, if it may be had."""
        assert self.arbiter is not None, self.name
        return [*self.arbiter.want(term, self.told_register, at, is_over=self.arbiters_vote_is_over)]

    def pause(self, at: Instant, ms: int) -> None:
        """No campaign before that; each node waits another while, so that two don't meet for ever."""
        position = self.table.cluster.nodes.index(self.table.me) + 1
        self.life.retry_at = later(at, ms * position)

    def invited(self, at: Instant) -> None:
        """It was released to this node: nobody else asks for it, so what campaigns came to counts no more."""
        self.life.denials = self.life.refusals = 0
        self.life.retry_at = min(self.life.retry_at, at)

    def look(self, at: Instant) -> list[Effect]:
        """Read the arbiter's record now and then, while it isn't urgent."""
        return [*self.arbiter.refresh(at)] if self.arbiter is not None else []

    def tell(self, kind: Kind, at: Instant, text: str, severity: Severity = Severity.INFO) -> Notify:
        """Tell people about this hierarchy."""
        return Notify(Notice(at=at, kind=kind, severity=severity, hierarchy=self.name, text=text))
