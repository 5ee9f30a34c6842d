"""Authority in mode `quorum = "majority"`: a lease by a majority of voters.

See the package's docstring for why it is safe. This module joins the parts: what this node promised
(`voter`), what it holds (`lease`), and the arbiter (`arbitration`). It keeps:
- a claim exists only while this node's own vote is for itself; it votes for nobody else meanwhile;
- HELD needs a majority's grants, and the register that says so on this node's disk;
- a term that was given up is never counted again in this life, and this life says so;
- the arbiter is written only while the peers' grants don't suffice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.core.authority.arbitration import Arbitration
from agent.core.authority.contract import Standing
from agent.core.authority.lease import Lease
from agent.core.authority.registers import held_back, is_newer, released
from agent.core.authority.state import Claim, Echo, LeaseLife, Owed, QuorumLife, Stage
from agent.core.authority.voter import Voter, binds_ms
from agent.core.effects import Durable, Effect, Failure, Kind, Notice, Notify, Persist, Send, Severity
from agent.core.events import ArbiterAnswered, HeartbeatHeard
from agent.core.ids import NEVER, HierarchyId, Instant, NodeId, later
from agent.core.messages import Register, Stance, VoteRecord, VoteReply, VoteRequest
from agent.core.model import Cluster
from agent.core.state import OwnershipLife, PeerLife
from agent.core.states import PeerStanding

STORE_RETRY_MS = 1_000
ARBITER = NodeId("(arbiter)")  # the name of its vote; no node can be called so
MOST_DENIALS = 4  # campaigns lost in a row; the pause before the next one grows until then


class QuorumBased:
    """A node owns a hierarchy while a majority's grants to it last."""

    def __init__(
        self,
        me: NodeId,
        owned: OwnershipLife,
        life: QuorumLife,
        cluster: Cluster,
        failures: Callable[[], list[Failure]],
        peers: dict[NodeId, PeerLife],
        unfinished: Callable[[], tuple[HierarchyId, ...]],
    ) -> None:
        self._me, self._owned, self._life, self._cluster = me, owned, life, cluster
        self._failures, self._peers, self._unfinished = failures, peers, unfinished
        self._grant_ms = cluster.heartbeat.dead_after_ms
        self._ask_every_ms = max(10, self._grant_ms // 100)
        binds = binds_ms(self._grant_ms, cluster.margin_ms)
        self._voters = {name: Voter(each, binds) for name, each in life.voters.items()}
        self._arbiter = {
            name: Arbitration(name, each, me, binds) for name, each in life.arbiter.items() if cluster.arbiter
        }

    # What the rest of the core asks

    def standing(self, hierarchy: HierarchyId, at: Instant) -> Standing:
        """HELD while a majority's grants last and the register of this term is durable."""
        claim = self._life.claims.get(hierarchy)
        if claim is None:
            return Standing.NONE
        if claim.stage is not Stage.OWNING or claim.serial > self._life.durable_serial:
            return Standing.SEEKING
        return Standing.HELD if self._lease(claim).holds(at) else Standing.EXPIRED

    def register(self, hierarchy: HierarchyId) -> Register:
        """The newest register that this node knows."""
        return self._owned.registers[hierarchy]

    def stance(self, hierarchy: HierarchyId) -> Stance:
        """What heartbeats say: this node's claim, what it gave up, and its vote."""
        claim, voter = self._life.claims.get(hierarchy), self._life.voters[hierarchy]
        return Stance(
            claims=claim.lease.term if claim is not None and claim.stage is Stage.OWNING else 0,
            gave_up=self._life.gave_up.get(hierarchy, 0),
            vote=self._told(hierarchy),
            kept=voter.register_serial <= self._life.durable_serial,
        )

    def safe_until(self, hierarchy: HierarchyId) -> Instant:
        """The end of the grants, and the margin that every candidate waits beyond it."""
        claim = self._life.claims.get(hierarchy)
        if claim is None or claim.stage is not Stage.OWNING:
            return NEVER
        return later(self._lease(claim).expires_at(), self._cluster.margin_ms)

    def agreed(self, hierarchy: HierarchyId) -> bool:
        """Is the register of this node's term, as it is now, durable at a majority that votes for it?

        So that whoever wins a later term has heard of it.
        """
        claim, register = self._life.claims.get(hierarchy), self._owned.registers[hierarchy]
        if claim is None or claim.stage is not Stage.OWNING or not self.stance(hierarchy).kept:
            return False
        votes = 1
        for peer in self._peers.values():
            said = _of(peer, hierarchy)
            if said is not None and said[0] == register and said[1].kept:
                votes += self._is_mine(hierarchy, said[1])
        if hierarchy in self._arbiter and (record := self._arbiter[hierarchy].record) is not None:
            votes += record.candidate == self._me and record.register == register
        return votes > self._cluster.voters // 2

    def amend(self, hierarchy: HierarchyId, *, in_sync: tuple[NodeId, ...]) -> list[Effect]:
        """The owner says which replicas hold every acknowledged write; in force once it is `agreed`."""
        register = self._owned.registers[hierarchy]
        assert hierarchy in self._life.claims, register
        return [self._change(replace(register, revision=register.revision + 1, in_sync=in_sync))]

    def able(self, at: Instant) -> bool:  # noqa: ARG002
        """A node that can't record its vote can't take anything over."""
        return not self._owned.store_failed

    def next_deadline(self, at: Instant) -> Instant:
        """When a grant of this node's or a promise to another runs out, or something is tried again."""
        times = [later(at, self._grant_ms)]
        if self._owned.store_failed:
            times.append(self._owned.store_retry_at)
        for name, voter in self._voters.items():
            times += [voter.free_at(), self._life.retry_at.get(name, NEVER)]
            if (claim := self._life.claims.get(name)) is not None:
                expiry = self._lease(claim).expires_at()
                times += [expiry, later(claim.expired_since or expiry, claim.patience_ms)]
                if claim.stage is Stage.ASKING:
                    times.append(later(claim.asked_at, self._ask_every_ms))
                if name in self._arbiter:
                    times += [self._arbiter[name].next_deadline(), *self._renewal(claim)]
        return min(each for each in times if each > at)

    def seek(self, hierarchy: HierarchyId, at: Instant) -> list[Effect]:
        """Begin a campaign if no promise and no earlier defeat stands against it."""
        voter, register = self._voters[hierarchy], self._owned.registers[hierarchy]
        known = [voter.vote.term, register.term, self._life.gave_up.get(hierarchy, 0)]
        if hierarchy in self._arbiter:
            known.append(self._arbiter[hierarchy].highest_term())
        reachable = 1 + len(self._alive()) + (hierarchy in self._arbiter)
        if (
            hierarchy in self._life.claims
            or self._owned.store_failed
            or at < self._life.retry_at.get(hierarchy, NEVER)
            or reachable <= self._cluster.voters // 2
            or not voter.may_vote(self._me, max(known) + 1, at)
        ):
            return []
        lease = LeaseLife(max(known) + 1)
        self._life.claims[hierarchy] = Claim(lease, Stage.RECORDING, at, despite_hold=register.held)
        return [self._vote(hierarchy, self._me, lease.term, at)]

    def release(
        self, hierarchy: HierarchyId, at: Instant, *, successor: NodeId | None, held: bool
    ) -> list[Effect]:
        """Give the term up for good: what is told now can't be taken back."""
        self._give_up(hierarchy, at)
        register = self._owned.registers[hierarchy]
        if register.owner is None:  # nobody's: that an operator holds it is no new term's business
            return [self._change(held_back(register))] if held else []
        persist = self._change(released(register, successor=successor, held=held))
        text = "released, and held out of service" if held else f"released to {successor or 'whoever fits'}"
        return [persist, self._tell(hierarchy, Kind.OWNERSHIP_RELEASED, at, text)]

    # What happens

    def heard(self, event: HeartbeatHeard) -> list[Effect]:
        """Promises to the sender are renewed; its grants, if the heartbeat says so, counted."""
        effects, peer = list[Effect](), self._peers[event.peer]
        for name, voter in self._voters.items():
            said = _of(peer, name) if peer.incarnation == event.incarnation else None
            voter.heard(event.peer, said[1].gave_up if said is not None else 0, event.at)
            if said is not None:
                effects += self._grant(name, event.peer, said[1].claims, event.at)
        if event.answers is not None and event.revision is not None:
            echo = Echo(event.incarnation, event.revision, event.answers)
            if not self._count(event.peer, echo):
                self._life.echoes[event.peer] = echo  # its report may be on its way
        return effects

    def reported(self, peer: NodeId, at: Instant) -> list[Effect]:
        """Count what waited for the report; be free of what the peer gave up."""
        if (echo := self._life.echoes.pop(peer, None)) is not None:
            self._count(peer, echo)
        effects = list[Effect]()
        for name, voter in self._voters.items():
            if (said := _of(self._peers[peer], name)) is not None:
                voter.released(peer, said[1].gave_up, at)
                effects += self._grant(name, peer, said[1].claims, at)
        return effects

    def asked(self, peer: NodeId, message: VoteRequest, at: Instant) -> list[Effect]:
        """A candidate wants this node's vote."""
        name = message.hierarchy
        if name not in self._voters:
            return []
        effects, said = self.hear(message.register, at), _of(self._peers[peer], name)
        if said is not None and message.term <= said[1].gave_up:
            return effects  # an old question
        register = self._owned.registers[name]
        if not self._may_vote(name, peer, message.term, at):
            vote = self._voters[name].vote
            refusal = VoteReply(hierarchy=name, term=vote.term, granted=False, register=register)
            return [*effects, Send(peer, refusal)]
        persist = self._vote(name, peer, message.term, at)
        reply = VoteReply(hierarchy=name, term=message.term, granted=True, register=register)
        self._life.owed = [each for each in self._life.owed if each.reply.hierarchy != name]
        self._life.owed.append(Owed(persist.serial, peer, reply))
        return [*effects, persist]

    def answered(self, peer: NodeId, message: VoteReply, at: Instant) -> list[Effect]:
        """A voter answered this node's campaign."""
        name = message.hierarchy
        if name not in self._voters:
            return []
        effects, claim = self.hear(message.register, at), self._life.claims.get(name)
        if claim is None or claim.stage is not Stage.ASKING:
            return effects
        if message.granted and message.term == claim.lease.term:
            self._lease(claim).granted(peer, claim.since)
        elif not message.granted and message.term >= claim.lease.term:
            self._give_up(name, at, until_term=message.term)  # and try again above that
            self._pause(name, at, self._ask_every_ms)
        return effects

    def arbiter_answered(self, event: ArbiterAnswered) -> list[Effect]:
        """The arbiter's vote, its record, or its silence."""
        effects = list[Effect]()
        for name, arbitration in self._arbiter.items():
            trouble = arbitration.trouble
            vote = arbitration.answered(event)
            if arbitration.record is not None:
                effects += self.hear(arbitration.record.register, event.at)
            claim = self._life.claims.get(name)
            if vote is not None and claim is not None and vote[0] == claim.lease.term:
                self._lease(claim).granted(ARBITER, vote[1])
            if bool(trouble) != bool(arbitration.trouble):
                bad, severity = bool(arbitration.trouble), Severity.INFO
                if bad:
                    severity = Severity.ALARM
                kind = Kind.ARBITER_TROUBLE if bad else Kind.ARBITER_MENDED
                text = arbitration.trouble or "it answers again"
                effects.append(self._tell(name, kind, event.at, text, severity))
        return effects

    def hear(self, register: Register, at: Instant) -> list[Effect]:
        """Believe the newest register; a claim to an older term is over."""
        name = register.hierarchy
        if not is_newer(register, self._owned.registers[name], self._cluster.hierarchy(name)):
            return []
        effects: list[Effect] = [self._change(register)]
        claim = self._life.claims.get(name)
        if claim is None or register.term < claim.lease.term:
            return effects
        if claim.stage is Stage.OWNING and register.owner == self._me and register.term == claim.lease.term:
            return effects  # an earlier life of this node said so and forgot
        owning = claim.stage is Stage.OWNING
        self._give_up(name, at)
        text = f"{register.owner or 'nobody'} owns it since term {register.term}"
        told = self._tell(name, Kind.OWNERSHIP_LOST, at, text, Severity.ALARM)
        return [*effects, told] if owning else effects

    def persisted(self, serial: int, at: Instant) -> list[Effect]:
        """Votes recorded by then are told."""
        effects, life = list[Effect](), self._life
        life.durable_serial = max(life.durable_serial, serial)
        if self._owned.store_failed:
            self._owned.store_failed = ""
            text = "the store can be written again"
            mended = Notice(at=at, kind=Kind.STORE_MENDED, severity=Severity.INFO, text=text)
            effects.append(Notify(mended))
        for name, claim in life.claims.items():
            vote = self._told(name)
            if claim.stage is Stage.RECORDING and vote is not None:
                claim.stage, claim.since = Stage.ASKING, at
            elif claim.stage is Stage.OWNING and vote is not None and vote.term > claim.lease.term:
                claim.lease.term = vote.term
                register = self._owned.registers[name]
                register = replace(register, term=vote.term, revision=register.revision + 1)
                effects.append(self._change(register))
        due = [each for each in life.owed if each.serial <= serial]
        life.owed = [each for each in life.owed if each.serial > serial]
        for each in due:
            vote = self._voters[each.reply.hierarchy].vote
            if (vote.term, vote.candidate) == (each.reply.term, each.to):
                effects.append(Send(each.to, each.reply))
        return effects

    def persist_failed(self, serial: int, why: str, at: Instant) -> list[Effect]:
        """No vote is told that isn't on disk; a campaign, or a victory, that isn't is over."""
        if serial == self._owned.serial:  # else a newer record is on its way
            for name, claim in list(self._life.claims.items()):
                if claim.stage is Stage.RECORDING or claim.serial > self._life.durable_serial:
                    self._give_up(name, at)
        known, self._owned.store_failed = bool(self._owned.store_failed), why
        self._owned.store_retry_at = later(at, STORE_RETRY_MS)
        if known:
            return []
        text = f"{why}; what runs goes on, but this node neither votes nor takes anything over"
        return [Notify(Notice(at=at, kind=Kind.STORE_FAILED, severity=Severity.ALARM, text=text))]

    def pass_time(self, at: Instant) -> list[Effect]:
        """Win, lose, renew, and look at the arbiter now and then."""
        effects = list[Effect]()
        if self._owned.store_failed and at >= self._owned.store_retry_at:
            self._owned.store_retry_at = later(at, STORE_RETRY_MS)
            effects.append(self.record())
        for name in self._voters:
            claim = self._life.claims.get(name)
            if claim is None:
                effects += self._look(name, at)
            elif claim.stage is Stage.OWNING:
                effects += self._own(name, claim, at)
            elif self._lease(claim).holds(at) and claim.stage is Stage.ASKING:
                effects += self._win(name, claim, at)
            else:
                effects += self._campaign(name, claim, at)
        return effects

    def record(self) -> Persist:
        """Everything durable as it is now."""
        self._owned.serial += 1
        votes = tuple(voter.vote for voter in self._voters.values())
        durable = Durable(
            registers=tuple(self._owned.registers.values()),
            failures=tuple(self._failures()),
            unfinished=self._unfinished(),
            votes=votes,
        )
        return Persist(self._owned.serial, durable)

    # The steps

    def _campaign(self, name: HierarchyId, claim: Claim, at: Instant) -> list[Effect]:
        if at - claim.since >= (self._grant_ms if claim.stage is Stage.RECORDING else self._grant_ms // 2):
            return self._lose(name, at, "no majority answered")
        if claim.stage is Stage.RECORDING:
            return []
        arbitration, effects = self._arbiter.get(name), list[Effect]()
        if at - claim.asked_at >= self._ask_every_ms:
            claim.asked_at = at
            register, term = self._owned.registers[name], claim.lease.term
            request = VoteRequest(hierarchy=name, term=term, register=register)
            willing = [peer for peer in self._alive() if self._lease(claim).until(peer) <= at]
            effects += [Send(peer, request) for peer in willing]
        peers_may_do = 1 + len(self._alive()) > self._cluster.voters // 2
        if arbitration is None or self._lease(claim).until(ARBITER) > at:
            return effects
        if peers_may_do and at - claim.since < self._grant_ms // 8:
            return effects
        if arbitration.highest_term() >= claim.lease.term:
            self._give_up(name, at)
            self._pause(name, at, self._ask_every_ms)
            return effects
        register = self._owned.registers[name]
        return [*effects, *arbitration.want(claim.lease.term, register, self._next_request(), at)]

    def _win(self, name: HierarchyId, claim: Claim, at: Instant) -> list[Effect]:
        """A majority's votes came with every register that an earlier majority knew."""
        best = self._owned.registers[name]
        if best.in_sync and self._me not in best.in_sync:
            return self._lose(name, at, "this node's replica isn't in sync")
        if best.held and not claim.despite_hold:
            return self._lose(name, at, "an operator holds it out of service")
        term = claim.lease.term
        register = replace(
            best, term=term, revision=best.revision + 1, owner=self._me,
            previous=None, successor=None, held=False,
        )  # fmt: skip
        persist = self._change(register)
        claim.stage, claim.since, claim.serial = Stage.OWNING, at, persist.serial
        self._life.denials.pop(name, None)
        return [persist, self._tell(name, Kind.OWNERSHIP_TAKEN, at, f"a majority granted term {term}")]

    def _lose(self, name: HierarchyId, at: Instant, why: str) -> list[Effect]:
        """The next try comes later each time, and on each node after another while."""
        self._give_up(name, at)
        denials = self._life.denials.get(name, 0)
        self._life.denials[name] = min(denials + 1, MOST_DENIALS)
        self._pause(name, at, (self._grant_ms // 4) << denials)
        if denials:
            return []
        return [self._tell(name, Kind.OWNERSHIP_DENIED, at, why, Severity.WARNING)]

    def _pause(self, name: HierarchyId, at: Instant, ms: int) -> None:
        """No campaign before that; each node waits another while, so that two don't meet for ever."""
        position = self._cluster.nodes.index(self._me) + 1
        self._life.retry_at[name] = later(at, ms * position)

    def _own(self, name: HierarchyId, claim: Claim, at: Instant) -> list[Effect]:
        lease, effects = self._lease(claim), list[Effect]()
        if name in self._arbiter:
            if all(at >= each for each in self._renewal(claim)):
                register = self._owned.registers[name]
                effects += self._arbiter[name].want(claim.lease.term, register, self._next_request(), at)
            else:
                effects += self._look(name, at)
        if lease.holds(at):
            claim.expired_since, claim.patience_ms = None, self._cluster.takeover_margin_ms // 2
            return [*effects, *self._rise(name, claim, at)]
        if claim.expired_since is None:  # a late look at the clock is no excuse, a long sleep is
            expiry = lease.expires_at()
            claim.expired_since = expiry if at - expiry < claim.patience_ms else at
        if at - claim.expired_since < claim.patience_ms:
            return effects
        self._give_up(name, at)
        text = f"no majority grants term {claim.lease.term} any more"
        return [*effects, self._tell(name, Kind.OWNERSHIP_LOST, at, text, Severity.ALARM)]

    def _rise(self, name: HierarchyId, claim: Claim, at: Instant) -> list[Effect]:
        """Voters whose vote is somebody else's, in a campaign that failed, can grant only a higher term."""
        others = [self._arbiter[name].highest_term()] if name in self._arbiter else []
        for peer in self._alive():
            said = _of(self._peers[peer], name)
            if said is not None and said[1].vote is not None and said[1].vote.candidate != self._me:
                others.append(said[1].vote.term)
        highest, idle = max(others, default=0), self._owned.serial == self._life.durable_serial
        if highest < claim.lease.term or self._owned.store_failed or not idle:
            return []
        return [self._vote(name, self._me, highest + 1, at)]

    def _renewal(self, claim: Claim) -> tuple[Instant, Instant]:
        """When an owner turns to the arbiter: peers' grants run short, and so does the arbiter's."""
        lease = self._lease(claim)
        short = later(lease.expires_at(without=ARBITER), -self._grant_ms // 3)
        return short, later(lease.until(ARBITER), -self._grant_ms * 2 // 3)

    def _look(self, name: HierarchyId, at: Instant) -> list[Effect]:
        if name not in self._arbiter:
            return []
        return [*self._arbiter[name].refresh(self._next_request(), at)]

    # Shared by the steps

    def _may_vote(self, name: HierarchyId, candidate: NodeId, term: int, at: Instant) -> bool:
        """May this node vote for a peer? A campaign of its own that has no majority yet yields to it."""
        claim, voter = self._life.claims.get(name), self._voters[name]
        if claim is not None and (claim.stage is Stage.OWNING or term <= voter.vote.term):
            return False
        if claim is not None:
            self._give_up(name, at)
            self._pause(name, at, self._grant_ms // 4)
        return voter.may_vote(candidate, term, at)

    def _grant(self, name: HierarchyId, owner: NodeId, claims: int, at: Instant) -> list[Effect]:
        """An owner that claims a term gets this node's vote as soon as that breaks no promise."""
        vote = self._voters[name].vote
        if claims <= vote.term or not self._may_vote(name, owner, claims, at):
            return []
        return [self._vote(name, owner, claims, at)]

    def _vote(self, name: HierarchyId, candidate: NodeId, term: int, at: Instant) -> Persist:
        self._voters[name].cast(candidate, term, self._owned.serial + 1, at)
        return self.record()

    def _change(self, register: Register) -> Persist:
        name = register.hierarchy
        self._owned.registers[name] = register
        self._life.voters[name].register_serial = self._owned.serial + 1
        return self.record()

    def _give_up(self, name: HierarchyId, at: Instant, until_term: int = 0) -> None:
        """Never again count a grant of that term."""
        claim = self._life.claims.pop(name, None)
        if claim is None:
            return
        term = max(self._voters[name].vote.term, until_term, self._life.gave_up.get(name, 0))
        self._life.gave_up[name] = term
        self._voters[name].released(self._me, term, at)

    def _count(self, peer: NodeId, echo: Echo) -> bool:
        """Count the grants that a heartbeat gives with the very report it was sent with."""
        known = self._peers[peer]
        at_hand = known.report.revision if known.report is not None else None
        if (known.incarnation, at_hand) != (echo.incarnation, echo.revision):
            return False
        for name, claim in self._life.claims.items():
            said = _of(known, name)
            if said is None or said[1].vote is None or claim.stage is Stage.RECORDING:
                continue
            if self._is_mine(name, said[1]):
                self._lease(claim).granted(peer, echo.answers)
            elif said[1].vote.term >= claim.lease.term:
                self._lease(claim).refused(peer)
        return True

    def _is_mine(self, name: HierarchyId, stance: Stance) -> bool:
        """Does that voter grant a term that this node hasn't given up?"""
        vote = stance.vote
        return vote is not None and vote.candidate == self._me and vote.term > self._life.gave_up.get(name, 0)

    def _told(self, name: HierarchyId) -> VoteRecord | None:
        return self._voters[name].told(self._life.durable_serial)

    def _alive(self) -> list[NodeId]:
        return [name for name, peer in self._peers.items() if peer.standing is PeerStanding.ALIVE]

    def _lease(self, claim: Claim) -> Lease:
        return Lease(claim.lease, self._cluster.voters, self._grant_ms)

    def _next_request(self) -> int:
        self._life.request += 1
        return self._life.request

    def _tell(
        self, name: HierarchyId, kind: Kind, at: Instant, text: str, severity: Severity = Severity.INFO
    ) -> Notify:
        return Notify(Notice(at=at, kind=kind, severity=severity, hierarchy=name, text=text))


def _of(peer: PeerLife, name: HierarchyId) -> tuple[Register, Stance] | None:
    """What a peer last said of a hierarchy."""
    for each in peer.report.hierarchies if peer.report is not None else ():
        if each.register.hierarchy == name and each.stance is not None:
            return each.register, each.stance
    return None
