"""What a voter does: who asks for its vote, and whom it grants without being asked.

Keeps: a node with a term of its own votes for nobody else, unless it is still a candidate and the other's
term is higher; nor does one on which something may run yet by a term that is over; an answer is sent once the
vote is on disk, and only if it is still the newest.
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.authority import campaign
from agent.core.authority.seat import Seat
from agent.core.authority.state import Owed, Stage
from agent.core.effects import Effect, Send
from agent.core.ids import Instant, NodeId
from agent.core.messages import VoteReply, VoteRequest


def asked(seat: Seat, peer: NodeId, message: VoteRequest, at: Instant) -> list[Effect]:
    """A candidate wants this node's vote; its register is believed already."""
    said = seat.said(peer)
    if said is not None and message.term <= said[1].gave_up:
        return []  # an old question
    if not _may_vote(seat, peer, message.term, at):
        term = seat.voter.vote.term
        return [
            Send(peer, VoteReply(hierarchy=seat.name, term=term, granted=False, register=seat.told_register))
        ]
    persist = seat.cast(peer, message.term, at)
    reply = VoteReply(hierarchy=seat.name, term=message.term, granted=True, register=seat.told_register)
    seat.life.owed = Owed(persist.serial, peer, reply)
    return [persist]


def grant(seat: Seat, owner: NodeId, claims: int, at: Instant) -> list[Effect]:
    """An owner that claims a term gets this node's vote as soon as that breaks no promise."""
    if claims <= seat.voter.vote.term or not _may_vote(seat, owner, claims, at):
        return []
    return [seat.cast(owner, claims, at)]


def answer(seat: Seat) -> list[Effect]:
    """What is owed to a candidate, once the vote is on disk: with the register that is there, too."""
    owed, vote = seat.life.owed, seat.voter.vote
    if owed is None or not seat.table.ledger.holds(owed.serial):
        return []
    seat.life.owed = None
    if (vote.term, vote.candidate) != (owed.reply.term, owed.to):
        return []
    return [Send(owed.to, replace(owed.reply, register=seat.told_register))]


def _may_vote(seat: Seat, candidate: NodeId, term: int, at: Instant) -> bool:
    """May this node vote for a peer? A campaign of its own that has no majority yet yields to it."""
    claim = seat.life.claim
    if seat.may_run_yet:
        return False
    if claim is not None:
        if claim.stage is Stage.OWNING or term <= seat.voter.vote.term:
            return False
        campaign.yield_to(seat, at)
    return seat.voter.may_vote(candidate, term, at)
