"""Heartbeats and messages between simulated machines, each link (a path, one way) for itself.

As `agent.comm` does: a heartbeat is taken once per counter and never after a newer one of the same path
and life; it counts only if it echoes a recent one of the receiver's life, and of two lives of a peer the
present one is that which answered the newer heartbeat; whatever may be echoed is told to the core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.core.events import HeartbeatHeard, MessageHeard, PeerLeft, ReportHeard
from agent.core.ids import Instant, NodeId, PathId
from agent.core.messages import Message, Report
from tests.simulation.machine import Agent, Machine, Session, Stamp

if TYPE_CHECKING:
    from tests.simulation.world import World


Link = tuple[PathId, NodeId, NodeId]  # from the first node to the second


@dataclass(frozen=True)
class Weather:
    """What a link does to a datagram, beyond being cut."""

    loss: float = 0.0  # share
    doubled: float = 0.0  # share
    late_ms: int = 0  # at most; later ones overtake earlier ones


FAIR = Weather()


class Beat(NamedTuple):
    """One heartbeat."""

    sender: NodeId
    path: PathId
    stamp: Stamp
    echoes: list[Stamp]
    report: Report | None
    leaving: bool


class Network:
    """Every link."""

    def __init__(self, world: World, random: Random) -> None:
        self._world, self._random = world, random
        self._grant_ms, self._way_ms = world.options.grant_ms, world.options.way_ms
        self._paths = [path.name for path in world.cluster.paths]
        self.cuts: set[Link] = set()
        self.weather: dict[Link, Weather] = {}  # where it isn't fair

    @property
    def links(self) -> list[Link]:
        """All of them."""
        nodes = self._world.cluster.nodes
        return [(path, a, b) for path in self._paths for a in nodes for b in nodes if a != b]

    def heal(self) -> None:
        """Everything arrives, at once."""
        self.cuts.clear()
        self.weather.clear()

    def beat(self, machine: Machine, agent: Agent) -> None:
        """Speak now, and each interval for as long as the agent lives."""
        world = self._world
        if not machine.is_run_by(agent):
            return
        wakes = world.wakes(machine, agent)
        if wakes <= world.now:
            self.speak(machine, agent)
        world.at(max(world.now + world.cluster.heartbeat.interval_ms, wakes), self.beat, machine, agent)

    def speak(self, machine: Machine, agent: Agent) -> None:
        """A heartbeat to every peer on every path, with the newest report and the newest echoes."""
        world, sent, me = self._world, machine.clock(self._world.now), machine.name
        report, leaving, first = agent.report, agent.leaving, agent.counter
        for peer in world.machines.values():
            if peer is machine or not peer.powered:
                continue
            newest = agent.sessions[peer.name].newest.items()
            recent = [(path, stamp) for (path, _), (stamp, heard) in newest if sent - heard < self._grant_ms]
            for path in self._paths:
                agent.counter += 1
                stamp = Stamp(agent.incarnation, sent, agent.counter)
                echoes = [each for where, each in recent if where == path]
                beat = Beat(me, path, stamp, echoes, report, leaving)
                self._carry((path, me, peer.name), peer, self._hear, beat)
        world.counts["heartbeats"] += agent.counter - first

    def send(self, machine: Machine, agent: Agent, to: NodeId, message: Message) -> None:
        """A message by the best path that this agent thinks is up; it arrives once, or not at all."""
        world, at, me = self._world, machine.clock(self._world.now), machine.name
        peer, counted = world.machines[to], agent.sessions[to].counted
        up = [path for path in self._paths if at - counted.get(path, -self._grant_ms) < self._grant_ms]
        if up and peer.powered and (up[0], to, me) not in self.cuts:  # whose acknowledgements return
            self._carry((up[0], me, to), peer, self._arrive, me, message, once=True)

    def _carry(
        self, link: Link, to: Machine, what: Callable[..., None], *args: Any, once: bool = False
    ) -> None:
        """A datagram arrives late, twice, or never, as its link's weather is."""
        world, weather, random = self._world, self.weather.get(link, FAIR), self._random
        if link in self.cuts or (weather.loss and random.random() < weather.loss):
            world.counts["datagrams lost"] += 1
            return
        if weather is FAIR:
            world.deliver(to, self._way_ms, what, to, *args)
            return
        times = 1 if once or not weather.doubled else 1 + (random.random() < weather.doubled)
        world.counts["datagrams doubled"] += times - 1
        for _ in range(times):
            late_ms = random.randrange(weather.late_ms) if weather.late_ms else 0
            world.counts["datagrams late"] += late_ms > 0
            world.deliver(to, self._way_ms + late_ms, what, to, *args)

    def _arrive(self, peer: Machine, sender: NodeId, message: Message) -> None:
        if peer.agent is not None:
            event = MessageHeard(peer.clock(self._world.now), sender, message)
            self._world.step(peer, peer.agent, event)

    def _hear(self, machine: Machine, beat: Beat) -> None:
        if (agent := machine.agent) is None:
            return
        at = machine.clock(self._world.now)
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
        me, since = agent.incarnation, at - self._grant_ms
        mine = [each.sent for each in beat.echoes if each.incarnation == me and each.sent > since]
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
