"""What must always hold, looked at through a clock that no node sees. It drives nothing.

(1) at most one node has authority over a hierarchy, as it counts itself, at any real instant;
(2) a restore or recovery starts only with authority, which is on this node's disk, and
(2b) while nothing of the hierarchy may run on any other machine (one that was suspended is left out, until
     it has been awake for the margin; where there is a watchdog alone, which stood still meanwhile, until its
     agent has run), and
(2c) where fencing is required, not while an owner it was taken from may live;
(3) it starts on no replica outside the newest in_sync: that a replica is in it, for it was copied first, is
    in force when it is on the owner's disk, that one isn't any more when a majority of the voters' disks
    hold it while their votes are the owner's; and
(4) on none that lacks an acknowledged write;
(6) effects are ordered: a step persists, says, fences, cancels, acts, answers, tells; and a vote or a
    claim that is told, whether on a heartbeat, in a message or to the arbiter, is on disk by then;
(7) nobody spins: the steps within one G are few.
(5), service returns once the faults stop, is `run`'s to ask.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from agent.core.authority.contract import Standing
from agent.core.authority.registers import after_reboot
from agent.core.effects import AskArbiter, Effect, Publish, Send, StartAction
from agent.core.ids import HierarchyId
from agent.core.messages import Register, VoteRecord, VoteReply, VoteRequest
from agent.core.states import Fencing
from tests.simulation.machine import Agent, Machine
from tests.simulation.violation import Violation
from tests.spec.rules import ORDER

if TYPE_CHECKING:
    from tests.simulation.world import World


MOST_STEPS = 500  # of one node about one peer within one G; heartbeats alone are about 50


class Checkers:
    """Raises Violation at the first step that breaks a rule."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._period_ends = self._steps = 0
        self._most_steps = MOST_STEPS * len(world.machines) ** 2
        self._committed = {each.name: Register(hierarchy=each.name) for each in world.cluster.hierarchies}

    def stepped(self, machine: Machine, agent: Agent, effects: list[Effect]) -> None:
        """(1), (7), and the order of (6)."""
        if self._world.now >= self._period_ends:
            grant_ms = self._world.options.grant_ms
            self._period_ends, self._steps = (self._world.now // grant_ms + 1) * grant_ms, 0
        else:
            self._steps += 1
        if self._steps >= self._most_steps:
            self._broken(machine, "(7) it spins")
        if len(effects) > 1:
            ranks = [ORDER[type(each)] for each in effects]
            if ranks != sorted(ranks):
                self._broken(machine, f"(6) effects out of order: {effects}")
        for name, seat in agent.node.state.quorum.seats.items():
            if seat.claim is None or len(self._world.claimants(name)) == 1:
                continue
            if len(holders := self._world.holders(name)) > 1:
                self._broken(machine, f"(1) {name} is owned by {holders}")

    def says(self, machine: Machine, effect: Effect) -> None:
        """(6): what is told is durable."""
        match effect:
            case Publish(report):
                for each in report.hierarchies:
                    if each.stance is None:
                        continue
                    if each.stance.vote is not None:
                        self._is_on_disk(machine, each.stance.vote, "told")
                    if each.stance.claims:
                        own = VoteRecord(
                            hierarchy=each.register.hierarchy, term=each.stance.claims, candidate=machine.name
                        )
                        self._is_on_disk(machine, own, "claimed")
                    said = each.register
                    disk = self._register_on_disk(machine, said.hierarchy)
                    older = (said.term, said.revision) < (
                        disk.term,
                        disk.revision,
                    )  # a newer one is on its way
                    if said.owner is not None and said != disk and not older:
                        self._broken(machine, f"(6) told, and isn't on disk: {said}")
            case Send(to, VoteReply(hierarchy=name, term=term, granted=True)):
                self._is_on_disk(machine, VoteRecord(hierarchy=name, term=term, candidate=to), "sent")
            case Send(_, VoteRequest(hierarchy=name, term=term)):
                self._is_on_disk(
                    machine, VoteRecord(hierarchy=name, term=term, candidate=machine.name), "asked for"
                )
            case AskArbiter(hierarchy=name, write=record) if record is not None:
                own = VoteRecord(hierarchy=name, term=record.term, candidate=machine.name)
                self._is_on_disk(machine, own, "asked for at the arbiter")

    def starts(self, machine: Machine, agent: Agent, start: StartAction) -> None:
        """(2), (2b), (3) and (4)."""
        world, name = self._world, start.hierarchy
        standing = agent.node.mind.authority.standing(name, machine.clock(world.now))
        if standing is not Standing.HELD:
            self._broken(machine, f"(2) {start} while {standing}")
        self._owns_on_disk(machine, name, f"acted on with {start.action}")
        others = [each for each in self._others(machine, name) if not self._excused(each)]
        if others:
            told = [(each.name, sorted(each.occupied[name])) for each in others]
            self._broken(machine, f"(2b) {start} while it may run on {told}")
        suspects = agent.node.mind.authority.register(name).suspects
        if suspects and world.cluster.fencing is Fencing.REQUIRED:
            self._broken(machine, f"(2c) {start} before {suspects} were fenced")
        committed = self._committed[name]
        if committed.in_sync and machine.name not in committed.in_sync:
            self._broken(machine, f"(3) {start} though the voters hold {committed}")
        if world.options.mirrored and machine.name in world.mirrors[name].behind:
            self._broken(machine, f"(4) {start} though its replica lacks acknowledged writes")
        world.counts["restores and recoveries"] += 1

    def recorded(self, register: Register) -> None:
        """(3): a voter, or the arbiter, has this on disk. Do a majority whose votes are its owner's?"""
        known = self._committed[register.hierarchy]
        owner = register.owner
        if owner is None or (register.term, register.revision) < (known.term, known.revision):
            return
        votes = sum(
            register in each.disk.registers
            and self._vote_on_disk(each, register.hierarchy).candidate == owner
            for each in self._world.machines.values()
        )
        record, _ = self._world.arbiter.held.get(register.hierarchy, (None, None))
        votes += record is not None and record.register == register and record.candidate == owner
        if votes > self._world.cluster.voters // 2:
            self._committed[register.hierarchy] = register
        elif known.in_sync and register in self._world.machines[owner].disk.registers:
            both = tuple(sorted({*known.in_sync, *register.in_sync}))
            self._committed[register.hierarchy] = replace(register, in_sync=both)

    def woke(self, machine: Machine, boots: int) -> None:
        """A suspended machine has the margin to find out that it is late."""
        world = self._world
        due = machine.woke_at + 2 * world.cluster.margin_ms
        if machine.powered and machine.boots == boots and machine.asleep_until <= world.now:
            world.at(due, self._awake_for_long, machine, boots)

    def _awake_for_long(self, machine: Machine, boots: int) -> None:
        if not machine.powered or machine.boots != boots or machine.asleep_until > self._world.now:
            return
        for name, tags in machine.occupied.items():
            others = self._others(machine, name)
            if tags and others and not any(self._excused(each) for each in (machine, *others)):
                where = [each.name for each in others]
                self._broken(machine, f"(2b) {name} still runs here, and on {where}")

    def _others(self, machine: Machine, name: HierarchyId) -> list[Machine]:
        return [each for each in self._world.machines.values() if each is not machine and each.runs(name)]

    def _excused(self, machine: Machine) -> bool:
        just_woke = self._world.now - machine.woke_at <= 2 * self._world.cluster.margin_ms
        return just_woke or (machine.unaware and not self._world.options.guarded)

    # What is on disk

    def _is_on_disk(self, machine: Machine, vote: VoteRecord, what: str) -> None:
        """A later vote there is as good: it was told only where it was on disk before."""
        written = self._vote_on_disk(machine, vote.hierarchy)
        if written.term < vote.term or (written.term == vote.term and written != vote):
            self._broken(machine, f"(6) {what} before it is on disk: {vote}, there is {written}")

    def _owns_on_disk(self, machine: Machine, name: HierarchyId, what: str) -> None:
        written, vote = self._register_on_disk(machine, name), self._vote_on_disk(machine, name)
        if written.owner != machine.name or vote.candidate != machine.name:
            self._broken(machine, f"(6) {what} before it is on disk: there are {written} and {vote}")

    @staticmethod
    def _vote_on_disk(machine: Machine, name: HierarchyId) -> VoteRecord:
        votes = (each for each in machine.disk.votes if each.hierarchy == name)
        return next(votes, VoteRecord(hierarchy=name))

    @staticmethod
    def _register_on_disk(machine: Machine, name: HierarchyId) -> Register:
        registers = (each for each in machine.disk.registers if each.hierarchy == name)
        written = next(registers, Register(hierarchy=name))
        return written if machine.disk_boot == machine.boots else after_reboot(written, machine.name)

    def _broken(self, machine: Machine, what: str) -> NoReturn:
        raise Violation(f"at {self._world.now} ms on {machine.name}: {what}")
