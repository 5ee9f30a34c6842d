"""What reports say of authority: who votes, what this node holds, and what a node waits for."""

from __future__ import annotations

import time
from collections.abc import Iterator

from agent.api.reports import ArbiterView, AuthorityView, VoteView, WaitView
from agent.config.arbiter import KINDS
from agent.core.authority.contract import Standing
from agent.core.authority.seat import ARBITER
from agent.core.authority.state import SeatLife
from agent.core.effects import Kind
from agent.core.ids import FOREVER, NEVER, HierarchyId, Instant, NodeId, later
from agent.core.messages import HierarchyReport, Register
from agent.core.model import Hierarchy
from agent.core.node import Node
from agent.core.states import PeerStanding, Quorum, Reason
from agent.runtime.agent import Agent


def arbiter_view(agent: Agent, node: Node) -> ArbiterView | None:
    """The arbiter, and since when it has been in trouble."""
    parameters, seats = agent.config.arbiter, node.state.quorum.seats
    if parameters is None:
        return None
    kind = next(kind for kind, type_ in KINDS.items() if isinstance(parameters, type_))
    troubled = {name: seat.arbiter.trouble for name, seat in seats.items() if seat.arbiter.trouble}
    if not troubled:
        return ArbiterView(kind=kind)
    told = {
        each.notice.hierarchy: each.time  # the newest of each
        for each in agent.notices.all()
        if each.notice.kind is Kind.ARBITER_TROUBLE and each.notice.hierarchy in troubled
    }
    since_time = min(told.values(), default=None)
    return ArbiterView(kind=kind, trouble=next(iter(troubled.values())), since_time=since_time)


def authority_view(node: Node, name: HierarchyId, at: Instant) -> AuthorityView | None:
    """What this node holds of a hierarchy; None in mode `none`."""
    if node.state.cluster.quorum is not Quorum.MAJORITY:
        return None
    authority, margin_ms = node.mind.authority, node.state.cluster.margin_ms
    standing, until = authority.standing(name, at), later(authority.safe_until(name), -margin_ms)
    left_ms = until - at if standing is Standing.HELD and until < FOREVER else None
    return AuthorityView(standing=standing.value, left_ms=left_ms, votes=dict(_votes(node, name, at)))


def missing_votes(node: Node, arbiter: ArbiterView | None) -> str:
    """What it means that voters are out of reach; empty as long as one more may go."""
    cluster = node.state.cluster
    missing = ["the arbiter"] if arbiter is not None and arbiter.trouble else []
    missing += [name for name, peer in node.state.peers.items() if peer.standing is not PeerStanding.ALIVE]
    reached, needed = cluster.voters - len(missing), cluster.voters // 2 + 1
    if cluster.quorum is not Quorum.MAJORITY or not missing or reached > needed:
        return ""
    then = "if one more goes, nothing may run here" if reached == needed else "nothing may run here"
    return f"{reached} of {cluster.voters} votes are in reach (not {', '.join(missing)}): {then}"


def wait_view(
    node: Node, spec: Hierarchy, waiter: NodeId, report: HierarchyReport | None, at: Instant
) -> WaitView | None:
    """What that node waits for with a hierarchy; what only the waiting node knows, only of this node."""
    if report is None or report.waits_for is None:
        return None
    me, reason = node.state.me, report.waits_for.name.lower()
    if report.waits_for in {Reason.ISOLATED, Reason.VOTES}:
        return WaitView(reason=reason)
    lost = _lost(node, node.mind.authority.register(spec.name), spec, waiter)
    life = node.mind.machines[spec.name].life
    if report.waits_for is Reason.FENCING:
        fences = node.state.fences if waiter == me else {}
        lost = [name for name in lost if NodeId(name) not in fences or not fences[NodeId(name)].evidence]
        whys = [fence.failed_why for name, fence in fences.items() if name in lost and fence.failed_why]
        return WaitView(reason=reason, lost=lost, why="; ".join(whys))
    asked, rule = life.confirming, spec.confirm
    if waiter != me or asked is None or rule is None:
        return WaitView(reason=reason, lost=lost)
    ends = later(asked.since, rule.within_ms)
    return WaitView(
        reason=reason,
        lost=lost,
        answered=asked.answer,
        default=rule.default,
        default_time=time.time() + (ends - at) / 1_000,
    )


def _lost(node: Node, register: Register, spec: Hierarchy, waiter: NodeId) -> list[str]:
    """Whose end is waited for: of those it was taken from, or its owner's; without either, of all absent."""
    if register.owner == waiter:
        return list(register.suspects)
    if register.owner is not None:
        return [register.owner]
    absent = {PeerStanding.LOST, PeerStanding.NEVER_HEARD}
    return [name for name in spec.nodes if name != waiter and node.mind.standing_of(name) in absent]


def _votes(node: Node, name: HierarchyId, at: Instant) -> Iterator[tuple[str, VoteView]]:
    """The newest vote known of each voter."""
    seat = node.state.quorum.seats[name]
    if (stance := node.mind.authority.stance(name)) is not None and stance.vote is not None:
        yield node.state.me, VoteView(candidate=stance.vote.candidate, term=stance.vote.term)
    for peer in node.state.peers:
        report = node.mind.reported(peer, name)
        vote = report.stance.vote if report is not None and report.stance is not None else None
        if vote is not None:
            left_ms = _left_ms(seat, peer, at)
            yield peer, VoteView(candidate=vote.candidate, term=vote.term, left_ms=left_ms)
    if (record := seat.arbiter.record) is not None:
        left_ms = _left_ms(seat, ARBITER, at)
        yield ARBITER, VoteView(candidate=record.candidate, term=record.term, left_ms=left_ms)


def _left_ms(seat: SeatLife, voter: NodeId, at: Instant) -> int | None:
    until = seat.claim.lease.until.get(voter, NEVER) if seat.claim is not None else NEVER
    return until - at if until > at else None
