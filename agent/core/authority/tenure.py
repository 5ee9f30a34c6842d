"""What an owner does: counts its grants, renews the arbiter's while the peers' run short, ends in time.

Keeps:
- the arbiter is written only while the peers' grants don't suffice;
- a term ends half a margin after its grants did, so that the other half is left to be harmless;
- a change of the register is in force once a majority that votes for this owner has it on disk.
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.authority.seat import ARBITER, Seat
from agent.core.authority.state import Claim, Stage
from agent.core.effects import Effect, Kind, Severity
from agent.core.ids import Instant, later
from agent.core.messages import Register


def go_on(seat: Seat, claim: Claim, at: Instant) -> list[Effect]:
    """Renew, rise above a vote for somebody else, or come to an end."""
    lease, effects = seat.lease(claim), _renew(seat, claim, at)
    if lease.holds(at):
        claim.expired_since, claim.patience_ms = None, seat.table.cluster.takeover_margin_ms // 2
        claim.renewed = True
        return [*effects, *_rise(seat, claim, at)]
    if claim.expired_since is None:  # a late look at the clock is no excuse, a long sleep is
        expiry = lease.expires_at()
        claim.expired_since = expiry if at - expiry < claim.patience_ms else at
    if at - claim.expired_since < claim.patience_ms:
        return effects
    seat.lapse()
    text = f"no majority grants term {claim.lease.term} any more"
    return [*effects, seat.tell(Kind.OWNERSHIP_LOST, at, text, Severity.ALARM)]


def renewal_at(seat: Seat, claim: Claim) -> Instant:
    """When an owner turns to the arbiter: the peers' grants run short, and so does the arbiter's.

    Or it doesn't know the register as it is now: somebody may be waiting until a majority does.
    """
    lease, grant_ms = seat.lease(claim), seat.table.grant_ms
    short = later(lease.expires_at(without=ARBITER), -_early_ms(seat))
    record = seat.arbiter.record if seat.arbiter is not None else None
    if record is not None and record.register != seat.told_register:
        return short
    return max(short, later(lease.until(ARBITER), -grant_ms * 2 // 3))


def _early_ms(seat: Seat) -> int:
    """So long before its peers' grants end: time for two requests, of which each may take a third of a grant.

    But not before they are older than they get by themselves: two intervals, and some way.
    """
    grant_ms, interval_ms = seat.table.grant_ms, seat.table.cluster.heartbeat.interval_ms
    return max(grant_ms // 3, min(grant_ms // 2, grant_ms - 3 * interval_ms))


def agreed(seat: Seat) -> bool:
    """Is the register of this node's term, as it is now, durable at a majority that votes for it?

    So that whoever wins a later term has heard of it.
    """
    claim = seat.life.claim
    if claim is None or claim.stage is not Stage.OWNING or not seat.register_is_durable:
        return False
    votes = 1
    for peer in seat.table.peers:
        said = seat.said(peer)
        if said is not None and said[0] == seat.register:
            votes += seat.grants_me(said[1])
    record = seat.arbiter.record if seat.arbiter is not None else None
    if record is not None and record.register == seat.register:
        votes += record.candidate == seat.table.me
    return votes > seat.table.cluster.voters // 2


def keep_on(seat: Seat, forgotten: Register, at: Instant) -> list[Effect]:
    """An earlier life released this term and couldn't write that down; this life was granted it anew.

    What it runs by those grants can't be given up at a stroke: others would start it at once. So it goes on,
    by a register that is newer than that release.
    """
    text = "it goes on here: this agent's life before had released it, and couldn't write that down"
    told = seat.tell(Kind.OWNERSHIP_TAKEN, at, text, Severity.WARNING)
    return [seat.change(replace(seat.register, revision=forgotten.revision + 1)), told]


def adopt_vote(seat: Seat, claim: Claim) -> list[Effect]:
    """This node's own vote for a higher term is on disk: the register follows it."""
    vote, register = seat.told_vote, seat.register
    if vote is None or vote.term <= claim.lease.term:
        return []
    claim.lease.term = vote.term
    return [seat.change(replace(register, term=vote.term, revision=register.revision + 1))]


def _renew(seat: Seat, claim: Claim, at: Instant) -> list[Effect]:
    if seat.arbiter is None:
        return []
    if at < renewal_at(seat, claim):
        return seat.look(at)
    return seat.want_arbiter(claim.lease.term, at)


def _rise(seat: Seat, claim: Claim, at: Instant) -> list[Effect]:
    """Voters whose vote is somebody else's, in a campaign that failed, can grant only a higher term."""
    others = [seat.arbiter.highest_term()] if seat.arbiter is not None else []
    for peer in seat.table.alive():
        said = seat.said(peer)
        if said is not None and said[1].vote is not None and said[1].vote.candidate != seat.table.me:
            others.append(said[1].vote.term)
    highest, ledger = max(others, default=0), seat.table.ledger
    if highest < claim.lease.term or ledger.failed or not ledger.is_idle:
        return []
    return [seat.cast(seat.table.me, highest + 1, at)]
