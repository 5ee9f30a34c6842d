"""How a node wins a term: its own vote first, then the peers', and the arbiter's where those don't suffice.

Keeps:
- it asks nobody before its own vote is on disk, and counts each answer from when it began to ask;
- whoever wins has heard the newest register from a majority, and refuses what that forbids: a replica
  that lacks writes, an operator's hold, an owner whose agent was stopped while its services run.
"""

from __future__ import annotations

from agent.core.authority.registers import taken
from agent.core.authority.seat import ARBITER, Seat
from agent.core.authority.state import Claim, LeaseLife, Stage
from agent.core.effects import Effect, Kind, Send, Severity
from agent.core.ids import FOREVER, NEVER, Instant, NodeId
from agent.core.messages import Register, VoteReply, VoteRequest
from agent.core.states import Fencing, Trust

MOST_DENIALS = 4  # campaigns lost in a row; the pause before the next one grows until then
MOST_REFUSALS = 5  # by then the pauses of two nodes differ by more than a slow disk takes


def begin(seat: Seat, at: Instant, trust: Trust) -> list[Effect]:
    """Begin a campaign, unless a promise, an earlier defeat or the lack of a majority stands against it."""
    table, register = seat.table, seat.register
    if seat.life.claim is not None or table.ledger.failed:
        return []
    votes_lacking = table.cluster.voters // 2 - len(table.alive())
    if votes_lacking > 0 and (votes_lacking > 1 or not _arbiter_is_free(seat, at)):
        return _look_at_arbiter(seat, at)
    arbiters = seat.arbiter.highest_term() if seat.arbiter is not None else 0
    term = max(seat.voter.vote.term, register.term, seat.life.gave_up, arbiters) + 1
    if at < seat.life.retry_at or not seat.voter.may_vote(table.me, term, at):
        return []
    seat.life.claim = Claim(
        LeaseLife(term),
        Stage.RECORDING,
        since=at,
        despite_hold=register.held,
        despite_owner=register.owner if register.unattended else None,
        trust=trust,
    )
    return [seat.cast(table.me, term, at)]


def blocked_until(seat: Seat, at: Instant) -> Instant:
    """Until when `begin` does nothing if promises are but renewed; NEVER if it may do something."""
    table, vote = seat.table, seat.voter.vote
    if table.cluster.voters // 2 > len(table.alive()):
        return FOREVER if seat.arbiter is None else NEVER  # which is looked at again and again
    bound_until = seat.voter.free_at() if vote.candidate != table.me else NEVER
    blocked_until = max(seat.life.retry_at, bound_until)
    return blocked_until if at < blocked_until else NEVER


def go_on(seat: Seat, claim: Claim, at: Instant) -> list[Effect]:
    """Win, lose, or ask once more."""
    if claim.stage is Stage.RECORDING:
        if seat.told_vote is None:
            return (
                _lose(seat, at, "this node's own vote isn't on disk") if _is_over(seat, claim, 1, at) else []
            )
        claim.stage, claim.since = Stage.ASKING, at
    if seat.lease(claim).holds(at):
        return _win(seat, claim, at)
    if _is_over(seat, claim, 2, at):
        return _lose(seat, at, "no majority answered")
    return [*_ask_peers(seat, claim, at), *_ask_arbiter(seat, claim, at)]


def answered(seat: Seat, peer: NodeId, message: VoteReply, at: Instant) -> list[Effect]:
    """A voter answered; its register is believed already."""
    claim = seat.life.claim
    if claim is None or claim.stage is not Stage.ASKING:
        return []
    if message.granted and message.term == claim.lease.term:
        seat.lease(claim).granted(peer, claim.since)
    elif not message.granted and message.term >= claim.lease.term:
        seat.give_up(at, until_term=message.term)  # and try again above that
        seat.pause(at, seat.table.ask_every_ms << seat.life.refusals)  # candidates that meet must part
        seat.life.refusals = min(seat.life.refusals + 1, MOST_REFUSALS)
    return []


def yield_to(seat: Seat, at: Instant) -> None:
    """Another's term is higher, a candidate's or an owner's: it isn't outbid at once."""
    seat.give_up(at)
    seat.pause(at, seat.table.grant_ms // 4)


def _arbiter_is_free(seat: Seat, at: Instant) -> bool:
    """Would it vote for this node? An owner that reaches it has written there a moment ago."""
    arbiter = seat.arbiter
    if arbiter is None or not arbiter.knows(at, seat.table.grant_ms // 4):
        return False
    return at >= arbiter.free_at() or seat.arbiters_vote_is_over


def _look_at_arbiter(seat: Seat, at: Instant) -> list[Effect]:
    """While its vote is needed: so that it is known as soon as this node's own promise is over."""
    arbiter, grant_ms = seat.arbiter, seat.table.grant_ms
    if arbiter is None or arbiter.knows(at, grant_ms // 8):
        return []
    return [*arbiter.read(at)]


def _is_over(seat: Seat, claim: Claim, share: int, at: Instant) -> bool:
    return at - claim.since >= seat.table.grant_ms // share


def _ask_peers(seat: Seat, claim: Claim, at: Instant) -> list[Effect]:
    if at - claim.asked_at < seat.table.ask_every_ms:
        return []
    claim.asked_at = at
    request = VoteRequest(hierarchy=seat.name, term=claim.lease.term, register=seat.told_register)
    return [Send(peer, request) for peer in seat.table.alive() if seat.lease(claim).until(peer) <= at]


def _ask_arbiter(seat: Seat, claim: Claim, at: Instant) -> list[Effect]:
    """Where the living peers can't be a majority, or don't answer quickly."""
    table, arbiter = seat.table, seat.arbiter
    if arbiter is None or seat.lease(claim).until(ARBITER) > at:
        return []
    peers_may_do = 1 + len(table.alive()) > table.cluster.voters // 2
    if peers_may_do and at - claim.since < table.grant_ms // 8:
        return []
    if arbiter.highest_term() >= claim.lease.term:
        seat.give_up(at)
        seat.pause(at, table.ask_every_ms)
        return []
    return seat.want_arbiter(claim.lease.term, at)


def _win(seat: Seat, claim: Claim, at: Instant) -> list[Effect]:
    """A majority's votes came with every register that an earlier majority knew."""
    if why := _forbidden(seat.register, claim, seat.table.me):
        return _lose(seat, at, why)
    term = claim.lease.term
    suspect = seat.table.cluster.fencing is not Fencing.NONE
    register = taken(seat.register, seat.table.me, term, suspect=suspect, trust=claim.trust)
    persist = seat.change(register)
    claim.stage, claim.since, claim.serial = Stage.OWNING, at, persist.serial
    seat.life.denials = seat.life.refusals = 0
    return [persist, seat.tell(Kind.OWNERSHIP_TAKEN, at, f"a majority granted term {term}")]


def _forbidden(newest: Register, claim: Claim, me: NodeId) -> str:
    """Why a node that won may not own it all the same; empty if it may."""
    if newest.in_sync and me not in newest.in_sync and claim.trust is not Trust.FORCED:
        return "this node's replica isn't in sync"
    if newest.held and not claim.despite_hold:
        return "an operator holds it out of service"
    if newest.unattended and newest.owner not in {me, claim.despite_owner}:
        return f"{newest.owner}'s agent was stopped and may still run it"
    return ""


def _lose(seat: Seat, at: Instant, why: str) -> list[Effect]:
    """The next try comes later each time, and on each node after another while."""
    seat.give_up(at)
    denials = seat.life.denials
    seat.life.denials = min(denials + 1, MOST_DENIALS)
    seat.pause(at, (seat.table.grant_ms // 4) << denials)
    return [] if denials else [seat.tell(Kind.OWNERSHIP_DENIED, at, why, Severity.WARNING)]
