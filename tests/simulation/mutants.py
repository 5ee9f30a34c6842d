"""Breaks the protocol, one way at a time, to see that the checkers notice.

`python -m tests.simulation.mutants [--seeds 400] [name …]` prints, for each breakage, the schedule that was
made for it (`directed`) or else the first seed that found it, and what it broke; it ends with 1 if one was
found by none.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from agent.core import gates, mind, placement, reconcile
from agent.core.authority import campaign, quorum, seat, tenure, voter, voting
from agent.core.authority.arbitration import Arbitration
from agent.core.authority.contract import Standing
from agent.core.authority.lease import Lease
from agent.core.authority.quorum import QuorumBased
from agent.core.authority.seat import ARBITER, Seat
from agent.core.authority.state import Claim, LeaseLife, SeatLife, Stage, VoterLife
from agent.core.authority.voter import Voter
from agent.core.effects import AskArbiter
from agent.core.events import HeartbeatHeard
from agent.core.ids import NEVER, HierarchyId, Instant, NodeId, later
from agent.core.messages import Register, VoteRecord, VoteReply
from agent.core.mind import Mind
from agent.core.placement import Verdict, View
from agent.core.states import PeerStanding
from tests.simulation import directed, faults, options, run
from tests.simulation.arbiter import Arbiter
from tests.simulation.lifeline import Lifeline

SCALE = 100
Patch = tuple[Any, str, Any]
MUTANTS: dict[str, Callable[[], list[Patch]]] = {}


def mutant(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
    """Register one; its docstring says what is broken."""
    MUTANTS[make.__name__] = make
    return make


@contextmanager
def broken(name: str) -> Iterator[None]:
    """The protocol with this one breakage."""
    patches = [patch.object(*each) for each in MUTANTS[name]()]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


@mutant
def registers_are_kept_before_they_are_on_disk() -> list[Patch]:
    """A voter says that a register is durable as soon as it knows it."""
    return [(Seat, "register_is_durable", True)]


@mutant
def votes_are_told_before_they_are_on_disk() -> list[Patch]:
    """On heartbeats, and in answers to candidates."""
    return [(Seat, "told_vote", property(lambda self: self.voter.vote))]


@mutant
def votes_are_not_persisted() -> list[Patch]:
    """A voter that restarts doesn't know its vote."""
    durable = QuorumBased._durable

    def forgetful(self: QuorumBased) -> Any:
        return replace(durable(self), votes=())

    return [(QuorumBased, "_durable", forgetful)]


@mutant
def grants_count_from_receipt() -> list[Patch]:
    """The owner counts a grant from when it heard it, not from when it asked."""
    heard = QuorumBased.heard

    def late(self: QuorumBased, event: HeartbeatHeard) -> Any:
        return heard(self, replace(event, answers=event.at if event.answers is not None else None))

    return [(QuorumBased, "heard", late)]


@mutant
def a_restarted_voter_is_free() -> list[Patch]:
    """No abstention after a restart."""

    def free(vote: VoteRecord, started_at: Instant, binds: int) -> VoterLife:
        return VoterLife(vote=vote, bound_until=NEVER)

    return [(quorum, "fresh", free)]


@mutant
def promises_do_not_bind() -> list[Patch]:
    """A voter votes for whoever asks in a higher term."""

    def any_term(self: Voter, candidate: NodeId, term: int, at: Instant) -> bool:
        return term > self.vote.term or (term, candidate) == (self.vote.term, self.vote.candidate)

    return [(Voter, "may_vote", any_term)]


@mutant
def a_voter_votes_twice_in_a_term() -> list[Patch]:
    """For another candidate of the same term, once it is free."""

    def again(self: Voter, candidate: NodeId, term: int, at: Instant) -> bool:
        same = candidate == self.vote.candidate
        return term >= self.vote.term and (same or at >= self.free_at() or term == self.vote.term)

    return [(Voter, "may_vote", again)]


@mutant
def no_allowance_for_drift() -> list[Patch]:
    """A voter is bound for G and the margin by its own clock, which may run faster."""
    return [(voter, "DRIFT_PERCENT", 0)]


@mutant
def no_margin() -> list[Patch]:
    """A candidate doesn't wait for the old owner to be harmless."""
    binds = voter.binds_ms

    def hasty(grant_ms: int, margin_ms: int) -> int:
        return binds(grant_ms, 0)

    return [(quorum, "binds_ms", hasty), (seat, "binds_ms", hasty)]


@mutant
def in_sync_is_ignored() -> list[Patch]:
    """A winner starts whatever replica it has."""
    forbidden = campaign._forbidden

    def any_replica(newest: Register, claim: Claim, me: NodeId) -> str:
        return forbidden(replace(newest, in_sync=()), claim, me)

    return [(campaign, "_forbidden", any_replica), (Mind, "why_not_in_sync", lambda self, name: "")]


@mutant
def only_counted_heartbeats_bind() -> list[Patch]:
    """A heartbeat that this node may echo, but that echoes nothing itself, doesn't renew the promise."""
    heard = QuorumBased.heard

    def deaf(self: QuorumBased, event: HeartbeatHeard) -> Any:
        return heard(self, event) if event.answers is not None else []

    return [(QuorumBased, "heard", deaf)]


@mutant
def the_arbiter_is_taken_at_once() -> list[Patch]:
    """A candidate doesn't wait until it has seen the record unchanged for as long as a voter is bound."""
    return [(Arbitration, "free_at", lambda self: NEVER)]


@mutant
def the_arbiter_is_written_unconditionally() -> list[Patch]:
    """Whatever it holds."""
    serve = Arbiter._serve

    def blind(self: Arbiter, asked: AskArbiter) -> Any:
        return serve(self, replace(asked, expected=self.held.get(asked.hierarchy, (None, None))[1]))

    return [(Arbiter, "_serve", blind)]


@mutant
def the_arbiters_vote_counts_from_the_answer() -> list[Patch]:
    """Not from when the write was sent."""
    answered = Arbitration.answered

    def late(self: Arbitration, event: Any) -> Any:
        vote = answered(self, event)
        return (vote[0], later(event.at, self._binds_ms)) if vote is not None else None

    return [(Arbitration, "answered", late)]


@mutant
def releases_keep_the_claim() -> list[Patch]:
    """Says that it gave its term up, so that its voters are free, and goes on counting it."""
    give_up = Seat.give_up

    def half_hearted(self: Seat, at: Instant, until_term: int = 0) -> None:
        claim = self.life.claim
        give_up(self, at, until_term)
        if claim is not None and claim.stage is Stage.OWNING and self.lease(claim).holds(at):
            self.life.claim = claim

    return [(Seat, "give_up", half_hearted)]


@mutant
def an_owner_votes_while_it_owns() -> list[Patch]:
    """Its own vote for another, and its claim goes on."""
    may_vote = voting._may_vote

    def generous(self: Seat, candidate: NodeId, term: int, at: Instant) -> bool:
        claim = self.life.claim
        if claim is not None and claim.stage is Stage.OWNING:
            return self.voter.may_vote(candidate, term, at)
        return may_vote(self, candidate, term, at)

    return [(voting, "_may_vote", generous)]


@mutant
def a_restarted_owner_goes_on() -> list[Patch]:
    """It counts its former life's grants as if they had just been given."""
    begin = quorum.begin_seat

    def bold(cluster: Any, me: NodeId, register: Register, vote: VoteRecord, at: Instant) -> SeatLife:
        life = begin(cluster, me, register, vote, at)
        if life.claim is not None:
            until = later(at, cluster.heartbeat.dead_after_ms)
            names = [*cluster.nodes, ARBITER]
            grants = {name: until for name in names if name != me}
            life.claim.lease = LeaseLife(life.claim.lease.term, grants)
        return life

    return [(mind, "begin_seat", bold)]


@mutant
def half_is_a_majority() -> list[Patch]:
    """With an even number of voters, two halves."""
    begin = Lease.__init__

    def fewer(self: Lease, life: LeaseLife, voters: int, grant_ms: int) -> None:
        begin(self, life, voters - 1, grant_ms)

    return [(Lease, "__init__", fewer)]


@mutant
def votes_bring_no_register() -> list[Patch]:
    """A candidate doesn't take in what its voters know."""
    answered = QuorumBased.answered

    def ignorant(self: QuorumBased, peer: NodeId, message: VoteReply, at: Instant) -> Any:
        mine = self._owned.registers[message.hierarchy]
        return answered(self, peer, replace(message, register=mine), at)

    return [(QuorumBased, "answered", ignorant), (Mind, "hear_registers", lambda self, report, at: [])]


@mutant
def agreed_by_one() -> list[Patch]:
    """The mirror goes on alone before a majority knows."""
    return [(tenure, "agreed", lambda seat: seat.life.claim is not None)]


@mutant
def a_stopped_agents_services_are_taken_over() -> list[Patch]:
    """A winner doesn't heed that the owner's agent was stopped and its services go on."""
    forbidden, decide = campaign._forbidden, placement.decide

    def regardless(newest: Register, claim: Claim, me: NodeId) -> str:
        return forbidden(replace(newest, unattended=False), claim, me)

    def soon(view: View) -> Verdict:
        lost = PeerStanding.LOST if view.owner_standing is PeerStanding.LEFT else view.owner_standing
        return decide(replace(view, register=replace(view.register, unattended=False), owner_standing=lost))

    return [(campaign, "_forbidden", regardless), (reconcile, "decide", soon)]


@mutant
def nobody_fences_itself() -> list[Patch]:
    """What runs goes on without authority."""
    return [(Mind, "runs_on_authority", lambda self, name: False)]


@mutant
def nothing_outlives_the_agent() -> list[Patch]:
    """No guardian and no watchdog: an agent that stands still isn't noticed."""
    return [(Lifeline, "_look", lambda self, machine, boots: None)]


@mutant
def required_fencing_is_not_waited_for() -> list[Patch]:
    """It is begun, and the hierarchy started beside it."""
    before = gates.clear_suspects

    def beside(mind: Mind, name: HierarchyId, at: Instant) -> Any:
        return None, before(mind, name, at)[1]

    return [(gates, "clear_suspects", beside)]


@mutant
def expiry_is_not_looked_at() -> list[Patch]:
    """A claim is as good as a lease."""
    standing = QuorumBased.standing

    def forever(self: QuorumBased, hierarchy: HierarchyId, at: Instant) -> Standing:
        said = standing(self, hierarchy, at)
        return Standing.HELD if said is Standing.EXPIRED else said

    return [(QuorumBased, "standing", forever)]


def hunt(name: str, seeds: Iterable[int]) -> tuple[int, int, str] | None:
    """The first seed that finds it and holds without it, how many were tried, and what it broke."""
    for tried, seed in enumerate(seeds, start=1):
        chosen = options.draw(seed, scale=SCALE)
        schedule = faults.draw(chosen)
        with broken(name):
            violation = run.fails(chosen, schedule)
        if violation is not None and run.fails(chosen, schedule) is None:
            return seed, tried, str(violation).splitlines()[0]
    return None


def find(name: str, seeds: Iterable[int]) -> str:
    """How it was found, and what it broke; empty if it wasn't."""
    schedule = directed.SCHEDULES.get(name)
    if schedule is not None:
        with broken(name):
            violation = directed.fails(schedule)
        if violation is not None and directed.fails(schedule) is None:
            return f"schedule {schedule.__name__}  {violation}"
    if (trace := hunt(name, seeds)) is None:
        return ""
    seed, tried, broke = trace
    return f"seed {seed:<4} {tried:>4} tried  {broke[:90]}"


def main() -> int:
    """0 if every breakage was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="these only")
    parser.add_argument("--seeds", type=int, default=500, help="at most so many for each")
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    names = args.names or list(MUTANTS)
    survivors, seeds = 0, range(args.first, args.first + args.seeds)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(find, names, [seeds] * len(names))
        for name, told in zip(names, found, strict=True):
            survivors += not told
            print(f"{name:<43} {told or 'NOT FOUND'}", flush=True)
    print(f"{len(names) - survivors} of {len(names)} found")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
