"""Heartbeats and messages between simulated machines, each path and direction for itself.

As `agent.comm` does: a heartbeat is taken once per counter and never after a newer one of the same path
and life; it counts only if it echoes a recent one of the receiver's life, and of two lives of a peer the
present one is that which answered the newer heartbeat; whatever may be echoed is told to the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from agent.core.events import HeartbeatHeard, MessageHeard, PeerLeft, ReportHeard
from agent.core.ids import Instant, NodeId, PathId
from agent.core.messages import Message, Report
from tests.simulation.machine import Agent, Machine, Session, Stamp

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass(frozen=True)
class Beat:
    """One heartbeat."""

    sender: NodeId
    path: PathId
    stamp: Stamp
    echoes: tuple[Stamp, ...]
    report: Report | None
    leaving: bool


class Network:
    """Every comm path, each direction for itself."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self._paths = [path.name for path in world.cluster.paths]
        self._grant_ms = world.cluster.heartbeat.dead_after_ms
        self.cuts: set[tuple[PathId, NodeId, NodeId]] = set()
        self.loss = self.doubled = 0.0
        self.late_ms = 0
        self.heartbeats = 0

    def heal(self) -> None:
        """Everything arrives, at once."""
        self.cuts.clear()
        self.loss, self.doubled, self.late_ms = 0.0, 0.0, 0

    def beat(self, machine: Machine, agent: Agent) -> None:
        """Speak now, and each interval for as long as the agent lives."""
        world = self._world
        if machine.agent is not agent:
            return
        wakes = world.wakes(machine, agent)
        if wakes <= world.now:
            self.speak(machine, agent)
        world.at(max(world.now + world.cluster.heartbeat.interval_ms, wakes), self.beat, machine, agent)

    def speak(self, machine: Machine, agent: Agent) -> None:
        """A heartbeat to every peer on every path, with the newest report and the newest echoes."""
        world, sent = self._world, machine.clock(self._world.now)
        report, leaving, me = agent.report, agent.leaving, machine.name
        for peer in world.machines.values():
            if peer is machine or not peer.powered:
                continue
            session = agent.sessions[peer.name]
            for path in self._paths:
                agent.counter += 1
                if (path, me, peer.name) in self.cuts or (self.loss and self._random.random() < self.loss):
                    continue
                echoes = tuple(
                    stamp
                    for (where, _), (stamp, heard) in session.newest.items()
                    if where == path and sent - heard < self._grant_ms
                )
                stamp = Stamp(agent.incarnation, sent, agent.counter)
                beat = Beat(me, path, stamp, echoes, report, leaving)
                self.heartbeats += 1
                world.deliver(peer, self._delay_ms(), self._hear, peer, beat)
                if self.doubled and self._random.random() < self.doubled:
                    world.deliver(peer, self._delay_ms(), self._hear, peer, beat)

    def send(self, machine: Machine, agent: Agent, to: NodeId, message: Message) -> None:
        """A message by the best path that this agent thinks is up; it arrives once, or not at all."""
        world, at, me = self._world, machine.clock(self._world.now), machine.name
        peer, counted = world.machines[to], agent.sessions[to].counted
        up = [path for path in self._paths if at - counted.get(path, -self._grant_ms) < self._grant_ms]
        if not up or not peer.powered or self._random.random() < self.loss:
            return
        if (up[0], me, to) not in self.cuts and (up[0], to, me) not in self.cuts:
            world.deliver(peer, self._delay_ms(), self._arrive, peer, me, message)

    def _arrive(self, peer: Machine, sender: NodeId, message: Message) -> None:
        if peer.agent is not None:
            event = MessageHeard(peer.clock(self._world.now), sender, message)
            self._world.step(peer, peer.agent, event)

    def _hear(self, machine: Machine, beat: Beat) -> None:
        agent, at = machine.agent, machine.clock(self._world.now)
        if agent is None:
            return
        session, life = agent.sessions[beat.sender], beat.stamp.incarnation
        known = session.newest.get((beat.path, life))
        if known is not None and known[0].counter >= beat.stamp.counter:
            return
        session.newest[beat.path, life] = beat.stamp, at
        if len(session.newest) > 6:
            del session.newest[next(iter(session.newest))]
        answers = self._answers(agent, session, beat, at)
        revision = beat.report.revision if beat.report is not None else None
        if not beat.leaving or answers is None:
            event = HeartbeatHeard(at, beat.sender, beat.path, life, answers, revision)
            self._world.step(machine, agent, event)
        if answers is None:
            return
        session.counted[beat.path] = at
        if beat.report is not None and beat.report.revision > session.known[1] * (session.known[0] == life):
            session.known = life, beat.report.revision
            self._world.step(machine, agent, ReportHeard(at, beat.sender, life, beat.report))
        if beat.leaving:
            session.left = True
            session.counted.clear()
            self._world.step(machine, agent, PeerLeft(at, beat.sender, life))

    def _answers(self, agent: Agent, session: Session, beat: Beat, at: Instant) -> Instant | None:
        """When I sent the newest recent heartbeat that it echoes, if it counts at all."""
        mine = [
            each.sent
            for each in beat.echoes
            if each.incarnation == agent.incarnation and at - each.sent < self._grant_ms
        ]
        if not mine:
            return None
        sent, life = max(mine), beat.stamp.incarnation
        if session.incarnation != life:
            if session.incarnation is not None and sent <= session.answered:
                return None  # an old life
            session.incarnation, session.left = life, False
            session.counted.clear()
        session.answered = max(session.answered, sent)
        return None if session.left else sent

    def _delay_ms(self) -> int:
        return 1 + (self._random.randrange(self.late_ms) if self.late_ms else 0)
