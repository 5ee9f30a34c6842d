"""Authority in mode `quorum = "majority"`: a lease by a majority of voters.

See the package's docstring for why it is safe. This module brings what happens to each hierarchy's seat:
as an owner (`tenure`), as a candidate (`campaign`), as a voter (`voting`). It keeps:
- HELD needs a majority's grants, and the register that says so on this node's disk;
- a grant is counted only with the very report that was sent with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.core.authority import campaign, tenure, voting
from agent.core.authority.contract import Standing
from agent.core.authority.ledger import Ledger
from agent.core.authority.registers import cleared, held_back, is_newer, released
from agent.core.authority.seat import ARBITER, Seat, Table
from agent.core.authority.state import Claim, Echo, LeaseLife, QuorumLife, SeatLife, Stage
from agent.core.authority.voter import binds_ms, fresh
from agent.core.effects import Durable, Effect, Kind, Persist, Severity
from agent.core.events import ArbiterAnswered, HeartbeatHeard
from agent.core.ids import FOREVER, NEVER, HierarchyId, Instant, NodeId, later
from agent.core.messages import Register, Stance, VoteRecord, VoteReply, VoteRequest
from agent.core.model import Cluster
from agent.core.state import OwnershipLife, PeerLife
from agent.core.states import Trust


def begin_seat(cluster: Cluster, me: NodeId, register: Register, vote: VoteRecord, at: Instant) -> SeatLife:
    """A voter that has just started; what it owned in this boot it asks to be granted anew."""
    binds = binds_ms(cluster.heartbeat.dead_after_ms, cluster.margin_ms)
    life = SeatLife(fresh(vote, at, binds), register)
    if register.owner == me and vote.candidate == me and vote.term >= register.term:
        patience_ms = cluster.heartbeat.dead_after_ms
        life.claim = Claim(
            LeaseLife(register.term), Stage.OWNING, since=at, expired_since=at, patience_ms=patience_ms
        )
    elif vote.candidate == me:
        life.gave_up = life.let_go = vote.term  # never won, or another's for long
    return life


class QuorumBased:
    """A node owns a hierarchy while a majority's grants to it last."""

    def __init__(
        self,
        me: NodeId,
        owned: OwnershipLife,
        life: QuorumLife,
        cluster: Cluster,
        peers: dict[NodeId, PeerLife],
        beside: Callable[[], Durable],  # what else is to be durable
    ) -> None:
        self._me, self._owned, self._life, self._cluster, self._peers = me, owned, life, cluster, peers
        self._beside = beside
        self._ledger = Ledger(owned, self._durable)
        table = Table(me, cluster, owned, life, peers, self._ledger)
        self._seats = {name: Seat(name, each, table) for name, each in life.seats.items()}

    # What the rest of the core asks

    def standing(self, hierarchy: HierarchyId, at: Instant) -> Standing:
        """HELD while a majority's grants last and the register of this term is durable."""
        seat = self._seats[hierarchy]
        claim = seat.life.claim
        if claim is None:
            return Standing.NONE
        if claim.stage is not Stage.OWNING or not self._ledger.holds(claim.serial):
            return Standing.SEEKING
        return Standing.HELD if seat.lease(claim).holds(at) else Standing.EXPIRED

    def register(self, hierarchy: HierarchyId) -> Register:
        """The newest register that this node knows."""
        return self._owned.registers[hierarchy]

    def told(self, hierarchy: HierarchyId) -> Register:
        """The newest register that is on disk here."""
        return self._seats[hierarchy].told_register

    def stance(self, hierarchy: HierarchyId) -> Stance:
        """What heartbeats say: this node's claim, what it gave up, and its vote."""
        seat = self._seats[hierarchy]
        claim = seat.life.claim
        return Stance(
            claims=claim.lease.term if claim is not None and claim.stage is Stage.OWNING else 0,
            gave_up=seat.life.let_go,
            vote=seat.told_vote,
        )

    def safe_until(self, hierarchy: HierarchyId) -> Instant:
        """The end of the grants, and the margin that every candidate waits beyond it."""
        seat = self._seats[hierarchy]
        claim = seat.life.claim
        if claim is None or claim.stage is not Stage.OWNING or not claim.renewed:
            return NEVER
        return later(seat.lease(claim).expires_at(), self._cluster.margin_ms)

    def agreed(self, hierarchy: HierarchyId) -> bool:
        """Would whoever wins a later term have heard of the register as it is now?"""
        return tenure.agreed(self._seats[hierarchy])

    def able(self, at: Instant) -> bool:  # noqa: ARG002 (the mode without quorum is always able)
        """A node that can't record its vote can't take anything over."""
        return not self._ledger.failed

    def next_deadline(self, at: Instant) -> Instant:
        """When a grant of this node's or a promise to another runs out, or something is tried again."""
        times = [later(at, self._cluster.heartbeat.dead_after_ms)]
        if self._ledger.retry_at is not None:
            times.append(self._ledger.retry_at)
        for seat in self._seats.values():
            times += _deadlines(seat)
        return min((each for each in times if each > at), default=FOREVER)

    def quiet_until(self, at: Instant) -> Instant:
        """Until the next look at the arbiter, renewal, expiry, or try of a store that failed."""
        del at
        first = self._ledger.retry_at if self._ledger.retry_at is not None else FOREVER
        return min([first, *map(_quiet_until, self._seats.values())])

    def seek(self, hierarchy: HierarchyId, at: Instant, trust: Trust = Trust.IN_SYNC) -> list[Effect]:
        """Begin a campaign if no promise and no earlier defeat stands against it."""
        return campaign.begin(self._seats[hierarchy], at, trust)

    def blocked_until(self, hierarchy: HierarchyId, at: Instant) -> Instant:
        """By a promise, an earlier defeat or the lack of a majority."""
        return campaign.blocked_until(self._seats[hierarchy], at)

    def release(
        self, hierarchy: HierarchyId, at: Instant, *, successor: NodeId | None, held: bool
    ) -> list[Effect]:
        """Give the term up for good: what is told now can't be taken back."""
        seat = self._seats[hierarchy]
        seat.give_up(at)
        seat.let_go(at)
        if seat.register.owner is None:  # nobody's: that an operator holds it is no new term's business
            return [seat.change(held_back(seat.register))] if held else []
        agreed = replace(seat.register, in_sync=seat.life.kept.in_sync)  # not what only this node may know of
        persist = seat.change(released(agreed, successor=successor, held=held))
        text = "released, and held out of service" if held else f"released to {successor or 'whoever fits'}"
        return [persist, seat.tell(Kind.OWNERSHIP_RELEASED, at, text)]

    def let_go(self, hierarchy: HierarchyId, at: Instant) -> None:
        """Nothing of it runs here: whoever is still bound by a term that is over is free."""
        self._seats[hierarchy].let_go(at)

    def attend(self, hierarchy: HierarchyId, *, attended: bool) -> list[Effect]:
        """The owner's agent looks after it again, or is about to stop; in force once it is `agreed`."""
        return self._amend(hierarchy, replace(self.register(hierarchy), unattended=not attended))

    def clear(self, hierarchy: HierarchyId, harmless: NodeId) -> list[Effect]:
        """The owner knows that a node from which it was taken is harmless."""
        return self._amend(hierarchy, cleared(self.register(hierarchy), harmless))

    def amend(self, hierarchy: HierarchyId, *, in_sync: tuple[NodeId, ...]) -> list[Effect]:
        """The owner says which replicas hold every acknowledged write; in force once it is `agreed`."""
        return self._amend(hierarchy, replace(self.register(hierarchy), in_sync=in_sync))

    def _amend(self, hierarchy: HierarchyId, register: Register) -> list[Effect]:
        """The owner says more, within its term."""
        seat = self._seats[hierarchy]
        if register == seat.register:
            return []
        assert seat.life.claim is not None, seat.register
        return [seat.change(replace(register, revision=seat.register.revision + 1))]

    # What happens

    def heard(self, event: HeartbeatHeard) -> list[Effect]:
        """Promises to the sender are renewed; its grants, if the heartbeat says so, counted."""
        effects, peer = list[Effect](), self._peers[event.peer]
        for seat in self._seats.values():
            said = seat.said(event.peer) if peer.incarnation == event.incarnation else None
            seat.voter.heard(event.peer, said[1].gave_up if said is not None else 0, event.at)
            if said is not None:
                effects += voting.grant(seat, event.peer, said[1].claims, event.at)
        if event.answers is not None and event.revision is not None:
            if _is_at_hand(peer, event.incarnation, event.revision):
                self._count(event.peer, event.answers)
            else:  # its report may be on its way
                self._life.echoes[event.peer] = Echo(event.incarnation, event.revision, event.answers)
        return effects

    def reported(self, peer: NodeId, at: Instant) -> list[Effect]:
        """Count what waited for the report; be free of what the peer gave up."""
        echo = self._life.echoes.pop(peer, None)
        if echo is not None and _is_at_hand(self._peers[peer], echo.incarnation, echo.revision):
            self._count(peer, echo.answers)
        effects = list[Effect]()
        for seat in self._seats.values():
            if (said := seat.said(peer)) is not None:
                seat.voter.released(peer, said[1].gave_up, at)
                effects += voting.grant(seat, peer, said[1].claims, at)
        return effects

    def asked(self, peer: NodeId, message: VoteRequest, at: Instant) -> list[Effect]:
        """A candidate wants this node's vote."""
        if (seat := self._seats.get(message.hierarchy)) is None:
            return []
        return [*self.hear(message.register, at), *voting.asked(seat, peer, message, at)]

    def answered(self, peer: NodeId, message: VoteReply, at: Instant) -> list[Effect]:
        """A voter answered this node's campaign."""
        if (seat := self._seats.get(message.hierarchy)) is None:
            return []
        return [*self.hear(message.register, at), *campaign.answered(seat, peer, message, at)]

    def arbiter_answered(self, event: ArbiterAnswered) -> list[Effect]:
        """The arbiter's vote, its record, or its silence."""
        effects = list[Effect]()
        for seat in self._seats.values():
            if seat.arbiter is None or not seat.arbiter.is_asked(event.request):
                continue
            trouble = seat.arbiter.trouble
            vote = seat.arbiter.answered(event)
            if seat.arbiter.record is not None:
                effects += self.hear(seat.arbiter.record.register, event.at)
            claim = seat.life.claim
            if vote is not None and claim is not None and vote[0] == claim.lease.term:
                seat.lease(claim).granted(ARBITER, vote[1])
            if not trouble and seat.arbiter.trouble:
                why = f"the arbiter's vote can't be had: {seat.arbiter.trouble}"
                text = f"{why}; nothing stops while the peers' grants suffice"
                effects.append(seat.tell(Kind.ARBITER_TROUBLE, event.at, text, Severity.ALARM))
            elif trouble and not seat.arbiter.trouble:
                effects.append(seat.tell(Kind.ARBITER_MENDED, event.at, "the arbiter answers again"))
        return effects

    def hear(self, register: Register, at: Instant) -> list[Effect]:
        """Believe the newest register; a claim to an older term is over."""
        seat, spec = self._seats[register.hierarchy], self._cluster.hierarchy(register.hierarchy)
        if not is_newer(register, seat.register, spec):
            return []
        claim = seat.life.claim
        owning = claim is not None and claim.stage is Stage.OWNING and register.term == claim.lease.term
        if claim is not None and owning and claim.renewed and register.owner is None:
            return tenure.keep_on(seat, register, at)
        effects: list[Effect] = [seat.change(register)]
        mine = owning and register.owner == self._me  # an earlier life of this node said so and forgot
        if claim is not None and register.term >= claim.lease.term and not mine:
            effects += _end(seat, claim, at)
        if register.owner is None and register.successor == self._me:
            seat.invited(at)
        return effects

    def persisted(self, serial: int, at: Instant) -> list[Effect]:
        """Votes recorded by then are told, and counted."""
        effects = self._ledger.persisted(serial, at)
        for seat in self._seats.values():
            seat.keep()
            claim = seat.life.claim
            if claim is not None and claim.stage is Stage.OWNING:
                effects += tenure.adopt_vote(seat, claim)
            effects += voting.answer(seat)
        return effects

    def persist_failed(self, serial: int, why: str, at: Instant) -> list[Effect]:
        """No vote is told that isn't on disk; a campaign, or a victory, that isn't is over."""
        for seat in self._seats.values() if self._ledger.is_newest(serial) else ():
            claim = seat.life.claim
            if claim is not None and (claim.stage is Stage.RECORDING or not self._ledger.holds(claim.serial)):
                seat.give_up(at)
        meaning = "what runs goes on, but this node neither votes nor takes anything over"
        return self._ledger.persist_failed(why, meaning, at)

    def pass_time(self, at: Instant) -> list[Effect]:
        """Win, lose, renew, and look at the arbiter now and then."""
        effects = self._ledger.retry(at)
        for seat in self._seats.values():
            claim = seat.life.claim
            if claim is None:
                effects += seat.look(at)
            elif claim.stage is Stage.OWNING:
                effects += tenure.go_on(seat, claim, at)
            else:
                effects += campaign.go_on(seat, claim, at)
        return effects

    def record(self) -> Persist:
        """Everything durable as it is now."""
        return self._ledger.record()

    def _durable(self) -> Durable:
        votes = tuple(each.voter.vote for each in self._life.seats.values())
        return replace(self._beside(), registers=tuple(self._owned.registers.values()), votes=votes)

    def _count(self, peer: NodeId, sent_at: Instant) -> None:
        """Count the grants that a heartbeat gives, which answers one of this node's, with its very report."""
        for seat in self._seats.values():
            claim = seat.life.claim
            if claim is None or claim.stage is Stage.RECORDING:
                continue
            said = seat.said(peer)
            if said is None or said[1].vote is None:
                continue
            if seat.grants_me(said[1]):
                seat.lease(claim).granted(peer, sent_at)
            elif said[1].vote.term >= claim.lease.term:
                seat.lease(claim).refused(peer)


def _end(seat: Seat, claim: Claim, at: Instant) -> list[Effect]:
    """A term that isn't older has an owner, or had one: this claim is over."""
    if claim.stage is not Stage.OWNING:
        campaign.yield_to(seat, at)  # to an owner, too, that this node doesn't hear and others do
        return []
    seat.lapse()
    text = f"{seat.register.owner or 'nobody'} owns it since term {seat.register.term}"
    return [seat.tell(Kind.OWNERSHIP_LOST, at, text, Severity.ALARM)]


def _is_at_hand(peer: PeerLife, incarnation: int, revision: int) -> bool:
    """Is this the very report that is known of the peer?"""
    report = peer.report
    return peer.incarnation == incarnation and report is not None and report.revision == revision


def _deadlines(seat: Seat) -> list[Instant]:
    times, claim = [seat.voter.free_at(), seat.life.retry_at], seat.life.claim
    if claim is None:
        return times
    expiry = seat.lease(claim).expires_at()
    times += [expiry, later(claim.expired_since or expiry, claim.patience_ms)]
    if claim.stage is Stage.ASKING:
        times.append(later(claim.asked_at, seat.table.ask_every_ms))
    if seat.arbiter is not None:
        times += [seat.arbiter.next_deadline(), tenure.renewal_at(seat, claim)]
    return times


def _quiet_until(seat: Seat) -> Instant:
    claim = seat.life.claim
    look_at = seat.arbiter.refresh_at() if seat.arbiter is not None else FOREVER
    if claim is None:
        return look_at
    if claim.stage is not Stage.OWNING or not seat.table.ledger.is_idle:
        return NEVER  # it may rise, win or lose at any moment
    renewal_at = tenure.renewal_at(seat, claim) if seat.arbiter is not None else FOREVER
    return min(look_at, renewal_at, seat.lease(claim).expires_at())
