"""Heartbeats, reports and messages between simulated machines.

As `agent.comm` does: a heartbeat counts only if it echoes one that the receiver sent recently, so a
one-way path is down for both; a report is handed on once; a message takes the best path that is up.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from agent.core.events import HeartbeatHeard, MessageHeard, PeerLeft, ReportHeard
from agent.core.ids import Instant, NodeId, PathId
from agent.core.messages import Message, Report
from tests.spec.machine import Agent, Machine

if TYPE_CHECKING:
    from tests.spec.world import World

LATENCY_MS = 1


@dataclass(frozen=True)
class Beat:
    """One heartbeat."""

    sender: NodeId
    incarnation: int
    path: PathId
    sent: Instant  # by the sender's clock
    echo: tuple[int, Instant] | None  # the receiver's incarnation and clock in its newest heartbeat
    report: Report | None
    leaving: bool


class Network:
    """Every comm path, each direction for itself."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self._cuts: set[tuple[PathId, NodeId, NodeId]] = set()
        self.loss = 0.0  # of each heartbeat and message …
        self.message_loss = 0.0  # … and of messages besides
        self.late_ms = 0  # at most so much later than LATENCY_MS

    def cut(self, path: str, sender: str, receiver: str) -> None:
        """Nothing of what `sender` says on this path reaches `receiver` any more."""
        self._cuts.add((PathId(path), NodeId(sender), NodeId(receiver)))

    def mend(self, path: str, sender: str, receiver: str) -> None:
        """It does again."""
        self._cuts.discard((PathId(path), NodeId(sender), NodeId(receiver)))

    def part(self, one: str, other: str) -> None:
        """Cut every path between two nodes, both ways."""
        for path in self._world.cluster.paths:
            self.cut(path.name, one, other)
            self.cut(path.name, other, one)

    def heal(self) -> None:
        """Every path works, nothing is lost or late."""
        self._cuts.clear()
        self.loss, self.message_loss, self.late_ms = 0.0, 0.0, 0

    def beat(self, machine: Machine, agent: Agent) -> None:
        """Speak now and each interval from now on, for as long as the agent lives."""
        world = self._world
        if machine.agent is not agent:
            return
        if not world.asleep(machine):
            self.speak(machine, agent)
        interval_ms = world.cluster.heartbeat.interval_ms
        world.at(max(world.now + interval_ms, machine.asleep_until), lambda: self.beat(machine, agent))

    def speak(self, machine: Machine, agent: Agent) -> None:
        """A heartbeat to every peer on every path, with the newest report and the newest echo."""
        world, sent = self._world, machine.clock(self._world.now)
        for peer in world.machines.values():
            if peer is machine or not peer.powered:
                continue
            for path in world.cluster.paths:
                if self._lost() or not self._open(path.name, machine.name, peer.name):
                    continue
                beat = Beat(
                    machine.name,
                    agent.incarnation,
                    path.name,
                    sent,
                    agent.heard.get((peer.name, path.name)),
                    agent.report,
                    agent.leaving,
                )
                self._deliver(peer, beat)

    def send(self, machine: Machine, to: NodeId, message: Message) -> None:
        """A message, if any path to that node is up."""
        world, peer = self._world, self._world.machines[to]
        paths = [path.name for path in world.cluster.paths]
        up = any(self._open(path, machine.name, to) and self._open(path, to, machine.name) for path in paths)

        def arrived() -> None:
            if peer.agent is not None:
                event = MessageHeard(peer.clock(world.now), machine.name, message)
                world.step(peer, peer.agent, event)

        if up and peer.powered and self._random.random() >= max(self.loss, self.message_loss):
            world.deliver(peer, None, self._delay_ms(), arrived)

    def _deliver(self, peer: Machine, beat: Beat) -> None:
        self._world.deliver(peer, None, self._delay_ms(), lambda: self._hear(peer, beat))

    def _hear(self, machine: Machine, beat: Beat) -> None:
        """It counts only if it echoes a recent one of mine."""
        agent, at = machine.agent, machine.clock(self._world.now)
        if agent is None:
            return
        newest = agent.heard.get((beat.sender, beat.path))
        if newest is None or newest[0] != beat.incarnation or newest[1] <= beat.sent:
            agent.heard[beat.sender, beat.path] = beat.incarnation, beat.sent
        mine = beat.echo is not None and beat.echo[0] == agent.incarnation
        answers = beat.echo[1] if mine and beat.echo is not None else None
        if answers is not None and at - answers > self._world.cluster.heartbeat.dead_after_ms:
            answers = None
        if not beat.leaving:
            revision = beat.report.revision if beat.report is not None else None
            event = HeartbeatHeard(at, beat.sender, beat.path, beat.incarnation, answers, revision)
            self._world.step(machine, agent, event)
        if answers is None:
            return
        self._hear_report(machine, agent, beat)
        if beat.leaving:
            self._world.step(machine, agent, PeerLeft(at, beat.sender, beat.incarnation))

    def _hear_report(self, machine: Machine, agent: Agent, beat: Beat) -> None:
        if beat.report is None:
            return
        incarnation, revision = agent.known.get(beat.sender, (0, 0))
        if incarnation != beat.incarnation or revision < beat.report.revision:
            agent.known[beat.sender] = beat.incarnation, beat.report.revision
            at = machine.clock(self._world.now)
            self._world.step(machine, agent, ReportHeard(at, beat.sender, beat.incarnation, beat.report))

    def _open(self, path: PathId, sender: NodeId, receiver: NodeId) -> bool:
        return (path, sender, receiver) not in self._cuts

    def _lost(self) -> bool:
        return self.loss > 0 and self._random.random() < self.loss

    def _delay_ms(self) -> int:
        return LATENCY_MS + (self._random.randrange(self.late_ms) if self.late_ms else 0)
