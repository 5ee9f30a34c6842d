"""Authority in mode `quorum = "majority"`: a lease by a majority of voters.

See the package's docstring for why it is safe. This module joins the parts: what this node promised
(`voter`), what it holds (`lease`), and the arbiter (`arbitration`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.core.authority.arbitration import Arbitration
from agent.core.authority.contract import Said, Standing
from agent.core.authority.lease import Lease
from agent.core.authority.registers import is_newer, released
from agent.core.authority.state import Claim, LeaseLife, QuorumLife, Stage
from agent.core.authority.voter import Voter, binds_ms
from agent.core.effects import Durable, Effect, Failure, Kind, Notice, Notify, Persist, Send, Severity
from agent.core.events import ArbiterAnswered, HeartbeatHeard
from agent.core.ids import NEVER, HierarchyId, Instant, NodeId, later
from agent.core.messages import HierarchyReport, Register, Report, VoteReply, VoteRequest
from agent.core.model import Cluster
from agent.core.state import OwnershipLife

STORE_RETRY_MS = 1_000
ARBITER = NodeId("(arbiter)")  # the name of its vote; no node can be called so


class QuorumBased:
    """A node owns a hierarchy while a majority's grants to it last."""

    def __init__(
        self,
        me: NodeId,
        owned: OwnershipLife,
        life: QuorumLife,
        cluster: Cluster,
        failures: Callable[[], list[Failure]],
        alive: Callable[[], list[NodeId]],
    ) -> None:
        self._me, self._owned, self._life, self._cluster = me, owned, life, cluster
        self._failures, self._alive = failures, alive
        self._grant_ms = cluster.heartbeat.dead_after_ms
        binds = binds_ms(self._grant_ms, cluster.margin_ms)
        self._voters = {name: Voter(each, binds) for name, each in life.voters.items()}
        self._arbiter = {
            name: Arbitration(name, each, me, binds) for name, each in life.arbiter.items() if cluster.arbiter
        }

    # What the rest of the core asks

    def standing(self, hierarchy: HierarchyId, at: Instant) -> Standing:
        """HELD while a majority's grants last."""
        claim = self._life.claims.get(hierarchy)
        if claim is None:
            return Standing.NONE
        if claim.stage is not Stage.OWNING:
            return Standing.SEEKING
        return Standing.HELD if self._lease(claim).holds(at) else Standing.EXPIRED

    def register(self, hierarchy: HierarchyId) -> Register:
        """The newest register that this node knows."""
        return self._owned.registers[hierarchy]

    def said(self, hierarchy: HierarchyId) -> Said:
        """What heartbeats say: this node's claim, what it gave up, and its vote."""
        claim = self._life.claims.get(hierarchy)
        return Said(
            claims=claim.lease.term if claim is not None and claim.stage is Stage.OWNING else 0,
            gave_up=self._life.gave_up.get(hierarchy, 0),
            vote=self._voters[hierarchy].told(),
        )

    def able(self, at: Instant) -> bool:  # noqa: ARG002
        """A node that can't record its vote can't take anything over."""
        return not self._owned.store_failed

    def next_deadline(self, at: Instant) -> Instant:
        """When a grant of this node's or a promise to another runs out."""
        times = [later(at, self._grant_ms)]
        for name, voter in self._voters.items():
            times += [voter.free_at(), self._life.retry_at.get(name, NEVER)]
            if (claim := self._life.claims.get(name)) is not None:
                expiry = self._lease(claim).expires_at()
                times += [expiry, later(claim.expired_since or expiry, claim.patience_ms)]
            if (arbitration := self._arbiter.get(name)) is not None:
                times.append(arbitration.free_at())
        return min(each for each in times if each > at)

    def seek(self, hierarchy: HierarchyId, at: Instant) -> list[Effect]:
        """Begin a campaign if no promise and no earlier defeat stands against it."""
        voter, register = self._voters[hierarchy], self._owned.registers[hierarchy]
        known = [voter.vote.term, register.term, self._life.gave_up.get(hierarchy, 0)]
        if hierarchy in self._arbiter:
            known.append(self._arbiter[hierarchy].highest_term)
        term = max(known) + 1
        if at < self._life.retry_at.get(hierarchy, NEVER) or not voter.may_vote(self._me, term, at):
            return []
        persist = self.record()
        voter.cast(self._me, term, persist.serial, at)
        self._life.claims[hierarchy] = Claim(LeaseLife(term), Stage.RECORDING, at, register)
        return [replace(persist, durable=self._durable())]

    def release(
        self, hierarchy: HierarchyId, at: Instant, *, successor: NodeId | None, held: bool
    ) -> list[Effect]:
        """Give the term up for good: what is told now can't be taken back."""
        self._give_up(hierarchy, at)
        register = released(self._owned.registers[hierarchy], successor=successor, held=held)
        self._owned.registers[hierarchy] = register
        return [
            self.record(),
            self._tell(hierarchy, Kind.OWNERSHIP_RELEASED, at, f"to {successor or 'whoever fits'}"),
        ]

    # What happens

    def heard(self, event: HeartbeatHeard) -> None:
        """Promises to the sender are renewed; its grants, if the heartbeat says so, counted."""
        incarnation, report = self._life.reports.get(event.peer, (0, None))
        same = report is not None and (incarnation, report.revision) == (event.incarnation, event.revision)
        for name, voter in self._voters.items():
            voter.heard(event.peer, event.at)
            claim = self._life.claims.get(name)
            said = _of(report, name) if same else None
            if claim is None or claim.stage is not Stage.OWNING or said is None or event.answers is None:
                continue
            vote, term = said.vote, claim.lease.term
            if vote is not None and (vote.term, vote.candidate) == (term, self._me):
                self._lease(claim).granted(event.peer, event.answers)
            elif vote is not None and vote.term > term:
                self._lease(claim).refused(event.peer)

    def reported(self, peer: NodeId, incarnation: int, report: Report, at: Instant) -> list[Effect]:
        """Learn registers, give a claiming owner this node's vote, notice what the peer gave up."""
        self._life.reports[peer] = (incarnation, report)
        effects = list[Effect]()
        for said in report.hierarchies:
            name = said.register.hierarchy
            if name not in self._voters:
                continue
            voter = self._voters[name]
            voter.released(peer, said.gave_up, at)
            vote = voter.vote
            fresh_vote = (said.claims, peer) != (vote.term, vote.candidate)
            if (
                said.claims
                and fresh_vote
                and name not in self._life.claims
                and voter.may_vote(peer, said.claims, at)
            ):
                persist = self.record()
                voter.cast(peer, said.claims, persist.serial, at)
                effects.append(replace(persist, durable=self._durable()))
        return effects

    def asked(self, peer: NodeId, message: VoteRequest, at: Instant) -> list[Effect]:
        """A candidate wants this node's vote."""
        name = message.hierarchy
        if name not in self._voters:
            return []
        effects = self.hear(message.register, at)
        voter, mine, claim = self._voters[name], self._owned.registers[name], self._life.claims.get(name)
        owning = claim is not None and claim.stage is Stage.OWNING
        if owning or not voter.may_vote(peer, message.term, at):
            reply = VoteReply(hierarchy=name, term=voter.vote.term, granted=False, register=mine)
            return [*effects, Send(peer, reply)]
        if claim is not None:  # a campaign of its own that has no majority yet
            self._give_up(name, at)
        persist = self.record()
        voter.cast(peer, message.term, persist.serial, at)
        reply = VoteReply(hierarchy=name, term=message.term, granted=True, register=mine)
        self._life.to_answer.append((persist.serial, peer, reply))
        return [*effects, replace(persist, durable=self._durable())]

    def answered(self, peer: NodeId, message: VoteReply, at: Instant) -> list[Effect]:
        """A voter answered this node's campaign."""
        name = message.hierarchy
        claim = self._life.claims.get(name)
        effects = self.hear(message.register, at) if name in self._voters else []
        if claim is None or claim.stage is not Stage.ASKING:
            return effects
        if not message.granted:
            if message.term >= claim.lease.term:
                self._give_up(name, at, until_term=message.term)
            return effects
        if message.term == claim.lease.term:
            self._lease(claim).granted(peer, claim.since)
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
                kind = Kind.ARBITER_TROUBLE if arbitration.trouble else Kind.ARBITER_MENDED
                effects.append(self._tell(name, kind, event.at, arbitration.trouble or "it answers again"))
        return effects

    def hear(self, register: Register, at: Instant) -> list[Effect]:
        """Believe the newest register; a claim to an older term is over."""
        name = register.hierarchy
        mine = self._owned.registers[name]
        if not is_newer(register, mine, self._cluster.hierarchy(name)):
            return []
        self._owned.registers[name] = register
        claim = self._life.claims.get(name)
        if claim is None:
            return [self.record()]
        if claim.stage is Stage.OWNING and register.term >= claim.lease.term:
            self._give_up(name, at)
            text = f"{register.owner or 'nobody'} owns it since term {register.term}"
            return [self.record(), self._tell(name, Kind.OWNERSHIP_LOST, at, text, Severity.ALARM)]
        if is_newer(register, claim.best, self._cluster.hierarchy(name)):
            claim.best = register
        return [self.record()]

    def persisted(self, serial: int, at: Instant) -> list[Effect]:
        """Votes recorded by then are told."""
        effects = list[Effect]()
        if self._owned.store_failed:
            self._owned.store_failed = ""
            mended = Notice(
                at=at, kind=Kind.STORE_MENDED, severity=Severity.INFO, text="it can be written again"
            )
            effects.append(Notify(mended))
        for name, voter in self._voters.items():
            voter.persisted(serial)
            claim = self._life.claims.get(name)
            if claim is not None and claim.stage is Stage.RECORDING and voter.told() is not None:
                claim.stage, claim.since = Stage.ASKING, at
                request = VoteRequest(
                    hierarchy=name, term=claim.lease.term, register=self._owned.registers[name]
                )
                effects += [Send(peer, request) for peer in self._alive()]
        due = [each for each in self._life.to_answer if each[0] <= serial]
        self._life.to_answer = [each for each in self._life.to_answer if each[0] > serial]
        for _, peer, reply in due:
            vote = self._voters[reply.hierarchy].vote
            if (vote.term, vote.candidate) == (reply.term, peer):
                effects.append(Send(peer, reply))
        return effects

    def persist_failed(self, serial: int, why: str, at: Instant) -> list[Effect]:
        """No vote is told that isn't on disk; a campaign on it is over."""
        if serial == self._owned.serial:
            for name, claim in list(self._life.claims.items()):
                if claim.stage is Stage.RECORDING:
                    self._give_up(name, at)
        known, self._owned.store_failed = bool(self._owned.store_failed), why
        retry_at = later(at, STORE_RETRY_MS)
        for name in self._voters:
            self._life.retry_at[name] = max(self._life.retry_at.get(name, NEVER), retry_at)
        if known:
            return []
        text = f"{why}; what runs goes on, but this node neither votes nor takes anything over"
        return [Notify(Notice(at=at, kind=Kind.STORE_FAILED, severity=Severity.ALARM, text=text))]

    def pass_time(self, at: Instant) -> list[Effect]:
        """Win, lose, renew, and look at the arbiter now and then."""
        effects = list[Effect]()
        for name in self._voters:
            claim = self._life.claims.get(name)
            if claim is None:
                if (arbitration := self._arbiter.get(name)) is not None:
                    effects += arbitration.refresh(self._next_request(), at)
            elif claim.stage is Stage.ASKING:
                effects += self._campaign(name, claim, at)
            elif claim.stage is Stage.OWNING:
                effects += self._own(name, claim, at)
        return effects

    def record(self) -> Persist:
        """Everything durable as it is now."""
        self._owned.serial += 1
        return Persist(self._owned.serial, self._durable())

    # The steps

    def _campaign(self, name: HierarchyId, claim: Claim, at: Instant) -> list[Effect]:
        lease = self._lease(claim)
        if lease.holds(at):
            best = claim.best
            claim.stage, claim.since = Stage.OWNING, at
            register = replace(
                best, term=lease.term, revision=best.revision + 1, owner=self._me,
                previous=None, successor=None, held=False,
            )  # fmt: skip
            self._owned.registers[name] = register
            text = f"a majority granted term {lease.term}"
            return [self.record(), self._tell(name, Kind.OWNERSHIP_TAKEN, at, text)]
        if at - claim.since >= self._grant_ms // 2:
            self._give_up(name, at)
            position = self._cluster.nodes.index(self._me) + 1
            self._life.retry_at[name] = later(at, self._grant_ms * position // 4)
            return [self._tell(name, Kind.OWNERSHIP_DENIED, at, "no majority answered", Severity.WARNING)]
        hopeful = (
            1 + len(self._alive()) > self._cluster.voters // 2 and at - claim.since < self._grant_ms // 8
        )
        if hopeful or name not in self._arbiter:
            return []
        return [*self._arbiter[name].want(lease.term, claim.best, self._next_request(), at)]

    def _own(self, name: HierarchyId, claim: Claim, at: Instant) -> list[Effect]:
        lease, effects = self._lease(claim), list[Effect]()
        if name in self._arbiter:
            short = lease.expires_at(without=ARBITER) < later(at, self._grant_ms // 2)
            stale = lease.until(ARBITER) < later(at, self._grant_ms * 2 // 3)
            if short and stale:
                register = self._owned.registers[name]
                effects += self._arbiter[name].want(lease.term, register, self._next_request(), at)
            elif not short:
                effects += self._arbiter[name].refresh(self._next_request(), at)
        if lease.holds(at):
            claim.expired_since = None
            claim.patience_ms = self._cluster.takeover_margin_ms
            return effects
        if claim.expired_since is None:
            claim.expired_since = at
        if at - claim.expired_since < claim.patience_ms:
            return effects
        self._give_up(name, at)
        text = f"no majority grants term {lease.term} any more"
        return [*effects, self._tell(name, Kind.OWNERSHIP_LOST, at, text, Severity.ALARM)]

    def _give_up(self, name: HierarchyId, at: Instant, until_term: int = 0) -> None:
        """Never again count a grant of that term."""
        claim = self._life.claims.pop(name, None)
        term = max(claim.lease.term if claim else 0, until_term, self._life.gave_up.get(name, 0))
        self._life.gave_up[name] = term
        self._voters[name].released(self._me, term, at)

    def _lease(self, claim: Claim) -> Lease:
        return Lease(claim.lease, self._cluster.voters, self._grant_ms)

    def _next_request(self) -> int:
        self._life.request += 1
        return self._life.request

    def _durable(self) -> Durable:
        return Durable(
            registers=tuple(self._owned.registers.values()),
            failures=tuple(self._failures()),
            votes=tuple(voter.vote for voter in self._voters.values()),
        )

    def _tell(
        self, name: HierarchyId, kind: Kind, at: Instant, text: str, severity: Severity = Severity.INFO
    ) -> Notify:
        return Notify(Notice(at=at, kind=kind, severity=severity, hierarchy=name, text=text))


def _of(report: Report | None, name: HierarchyId) -> HierarchyReport | None:
    reports = report.hierarchies if report is not None else ()
    return next((each for each in reports if each.register.hierarchy == name), None)
