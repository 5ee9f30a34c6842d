"""Breaks the protocol, one way at a time, to see that the checkers notice.

`python -m tests.simulation.mutants [--seeds 400] [name …]` prints, for each breakage, the first seed that
found it and what it broke; it ends with 1 if one was found by none.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from agent.core import mind, reconcile
from agent.core.authority import quorum, voter
from agent.core.authority.arbitration import Arbitration
from agent.core.authority.contract import Standing
from agent.core.authority.quorum import QuorumBased
from agent.core.authority.state import Claim, LeaseLife, Stage, VoterLife
from agent.core.authority.voter import Voter
from agent.core.effects import AskArbiter
from agent.core.events import HeartbeatHeard
from agent.core.ids import NEVER, HierarchyId, Instant, NodeId, later
from agent.core.messages import Stance, VoteRecord, VoteReply
from agent.core.mind import Mind
from tests.simulation import faults, options, run
from tests.simulation.arbiter import Arbiter
from tests.simulation.world import World

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
    stance = QuorumBased.stance

    def early(self: QuorumBased, hierarchy: HierarchyId) -> Stance:
        return replace(stance(self, hierarchy), kept=True)

    return [(QuorumBased, "stance", early)]


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

    return [(voter, "fresh", free), (mind, "fresh", free)]


@mutant
def promises_do_not_bind() -> list[Patch]:
    """A voter votes for whoever asks in a higher term."""

    def any_term(self: Voter, candidate: NodeId, term: int, at: Instant) -> bool:
        return term > self.vote.term or (term, candidate) == (self.vote.term, self.vote.candidate)

    return [(Voter, "may_vote", any_term)]


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

    return [(quorum, "binds_ms", hasty), (mind, "binds_ms", hasty)]


@mutant
def in_sync_is_ignored() -> list[Patch]:
    """A winner starts whatever replica it has."""
    win, why_not = QuorumBased._win, Mind.why_not_fit

    def any_replica(self: QuorumBased, name: HierarchyId, claim: Claim, at: Instant) -> Any:
        registers = self._owned.registers
        registers[name] = replace(registers[name], in_sync=())
        return win(self, name, claim, at)

    def fit(self: Mind, name: HierarchyId, at: Instant) -> str:
        why = why_not(self, name, at)
        return "" if why.startswith("its replica") else why

    return [(QuorumBased, "_win", any_replica), (Mind, "why_not_fit", fit)]


@mutant
def only_counted_heartbeats_bind() -> list[Patch]:
    """A heartbeat that this node may echo, but that echoes nothing itself, doesn't renew the promise."""
    heard = QuorumBased.heard

    def deaf(self: QuorumBased, event: HeartbeatHeard) -> Any:
        return heard(self, event) if event.answers is not None else []

    return [(QuorumBased, "heard", deaf)]


@mutant
def any_report_counts() -> list[Patch]:
    """A heartbeat counts with the report at hand, whichever it was sent with."""
    heard = QuorumBased.heard

    def careless(self: QuorumBased, event: HeartbeatHeard) -> Any:
        report = self._peers[event.peer].report
        if report is None:
            return heard(self, event)
        same = replace(event, revision=report.revision, incarnation=self._peers[event.peer].incarnation)
        return heard(self, same)

    return [(QuorumBased, "heard", careless)]


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
def what_was_given_up_counts_again() -> list[Patch]:
    """A vote of a term that was released counts in the next campaign, though it binds nobody."""

    def mine(self: QuorumBased, name: HierarchyId, stance: Stance) -> bool:
        return stance.vote is not None and stance.vote.candidate == self._me

    return [(QuorumBased, "_is_mine", mine)]


@mutant
def releases_keep_the_claim() -> list[Patch]:
    """Says that it gave its term up, so that its voters are free, and goes on counting it."""
    pass_time, give_up = QuorumBased.pass_time, QuorumBased._give_up

    def half_hearted(self: QuorumBased, name: HierarchyId, at: Instant, until_term: int = 0) -> None:
        claim = self._life.claims.get(name)
        give_up(self, name, at, until_term)
        if claim is not None and claim.stage is Stage.OWNING and self._lease(claim).holds(at):
            self._life.claims[name] = claim

    return [(QuorumBased, "_give_up", half_hearted), (QuorumBased, "pass_time", pass_time)]


@mutant
def an_owner_votes_while_it_owns() -> list[Patch]:
    """Its own vote for another, and its claim goes on."""
    may_vote = QuorumBased._may_vote

    def generous(self: QuorumBased, name: HierarchyId, candidate: NodeId, term: int, at: Instant) -> bool:
        claim = self._life.claims.get(name)
        if claim is not None and claim.stage is Stage.OWNING:
            return self._voters[name].may_vote(candidate, term, at)
        return may_vote(self, name, candidate, term, at)

    return [(QuorumBased, "_may_vote", generous)]


@mutant
def a_restarted_owner_goes_on() -> list[Patch]:
    """It counts its former life's grants as if they had just been given."""
    begin = mind.begin_quorum

    def bold(cluster: Any, me: NodeId, registers: Any, votes: Any, at: Instant) -> Any:
        life = begin(cluster, me, registers, votes, at)
        for claim in life.claims.values():
            until = later(at, cluster.heartbeat.dead_after_ms)
            names = [*cluster.nodes, quorum.ARBITER]
            claim.lease = LeaseLife(claim.lease.term, {name: until for name in names if name != me})
        return life

    return [(mind, "begin_quorum", bold)]


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

    def hasty(self: QuorumBased, hierarchy: HierarchyId) -> bool:
        return hierarchy in self._life.claims

    return [(QuorumBased, "agreed", hasty)]


@mutant
def nobody_fences_itself() -> list[Patch]:
    """What runs goes on without authority."""
    return [(reconcile, "_must_be_harmless", lambda mind, machine: False)]


@mutant
def the_watchdog_is_always_fed() -> list[Patch]:
    """As long as the agent lives; and an agent that doesn't isn't noticed."""
    return [(World, "_bite", lambda self, machine, boots: None)]


@mutant
def expiry_is_not_looked_at() -> list[Patch]:
    """A claim is as good as a lease."""
    standing = QuorumBased.standing

    def forever(self: QuorumBased, hierarchy: HierarchyId, at: Instant) -> Standing:
        said = standing(self, hierarchy, at)
        return Standing.HELD if said is Standing.EXPIRED else said

    return [(QuorumBased, "standing", forever)]


def hunt(name: str, seeds: range) -> tuple[int, str] | None:
    """The first seed that finds it, and what it broke."""
    with broken(name):
        for seed in seeds:
            chosen = options.draw(seed, scale=100)
            violation = run.fails(chosen, faults.draw(chosen))
            if violation is not None:
                return seed, str(violation).splitlines()[0]
    return None


def main() -> int:
    """0 if every breakage was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="these only")
    parser.add_argument("--seeds", type=int, default=400)
    args = parser.parse_args()
    names = args.names or list(MUTANTS)
    survivors = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(hunt, names, [range(args.seeds)] * len(names))
        for name, trace in zip(names, found, strict=True):
            survivors += trace is None
            told = f"seed {trace[0]}: {trace[1][:100]}" if trace else f"NOT FOUND in {args.seeds} seeds"
            print(f"{name:<45} {told}", flush=True)
    print(f"{len(names) - survivors} of {len(names)} found")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
