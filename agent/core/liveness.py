"""Decides who is alive.

- A comm path is up while heartbeats that echo mine come in on it.
- A peer is lost when all its paths have been silent for `dead_after_ms` of time in which this node
  was awake: its own pauses are not held against others.
- A peer that said goodbye has left; silence means nothing then.
"""

from __future__ import annotations

from agent.core.effects import Effect, Kind, Notice, Notify, Severity
from agent.core.events import HeartbeatHeard, PeerLeft, ReportHeard
from agent.core.ids import FOREVER, NEVER, Instant, NodeId, PathId, later
from agent.core.model import Cluster
from agent.core.state import PathLife, PeerLife
from agent.core.states import PathState, PeerStanding


def first_look(cluster: Cluster, me: NodeId, at: Instant) -> dict[NodeId, PeerLife]:
    """Every peer, not heard yet."""
    return {
        node: PeerLife(paths={path.name: PathLife(heard_at=at) for path in cluster.paths}, since=at)
        for node in cluster.nodes
        if node != me
    }


class Liveness:
    """Follows heartbeats and silences of all peers."""

    def __init__(self, peers: dict[NodeId, PeerLife], dead_after_ms: int) -> None:
        self._peers, self._dead_after_ms = peers, dead_after_ms
        self._quiet_until = NEVER  # before this no path's silence can be long enough

    def heard(self, event: HeartbeatHeard) -> list[Effect]:
        """A heartbeat that echoes mine: its path is up and its peer alive."""
        if event.answers is None:
            return []
        peer, effects = self._peers[event.peer], list[Effect]()
        if peer.standing is PeerStanding.LEFT and event.incarnation == peer.incarnation:
            return []  # a straggler of the life that said goodbye
        path = peer.paths[event.path]
        path.heard_at = max(path.heard_at, event.at)
        if path.state is PathState.DOWN:
            path.state = PathState.UP
            self._quiet_until = min(self._quiet_until, later(path.heard_at, self._dead_after_ms))
            effects += self._tell_path(event.at, event.peer, event.path, up=True)
        if peer.incarnation != event.incarnation:  # another life: what the one before said is over
            peer.incarnation, peer.report = event.incarnation, None
        if peer.standing is not PeerStanding.ALIVE:
            before, peer.standing, peer.since = peer.standing, PeerStanding.ALIVE, event.at
            effects.append(
                _notify(
                    event.at, Kind.PEER_ALIVE, Severity.INFO, event.peer, f"is heard (was {before.value})"
                )
            )
        return effects

    def reported(self, event: ReportHeard) -> bool:
        """Keep a peer's report; False if it is an older one of the same life."""
        peer = self._peers[event.peer]
        same_life = peer.incarnation == event.incarnation
        if same_life and peer.standing is PeerStanding.LEFT:
            return False
        if same_life and peer.report is not None and peer.report.revision >= event.report.revision:
            return False
        peer.incarnation, peer.report = event.incarnation, event.report
        return True

    def left(self, event: PeerLeft) -> list[Effect]:
        """A goodbye counts only for the life that says it."""
        peer = self._peers[event.peer]
        if peer.incarnation != event.incarnation or peer.standing is PeerStanding.LEFT:
            return []
        peer.standing, peer.since = PeerStanding.LEFT, event.at
        for path in peer.paths.values():
            path.state = PathState.DOWN
        text = "its agent ended in good order; what it runs is left alone"
        return [_notify(event.at, Kind.PEER_LEFT, Severity.WARNING, event.peer, text)]

    def tick(self, at: Instant) -> list[Effect]:
        """Notice silences."""
        if at < self._quiet_until:  # almost always: this is looked at with every event
            return []
        effects = list[Effect]()
        for name, peer in self._peers.items():
            for path_name, path in peer.paths.items():
                if path.state is PathState.UP and at - path.heard_at >= self._dead_after_ms:
                    path.state = PathState.DOWN
                    effects += self._tell_path(at, name, path_name, up=False)
            silent_ms = at - max(path.heard_at for path in peer.paths.values())
            if peer.standing is PeerStanding.ALIVE and silent_ms >= self._dead_after_ms:
                peer.standing, peer.since = PeerStanding.LOST, at
                text = f"silent on every comm path for {silent_ms} ms"
                effects.append(_notify(at, Kind.PEER_LOST, Severity.ALARM, name, text, silent_ms))
        self._quiet_until = self._next_silence()
        return effects

    def forgive(self, pause_ms: int) -> None:
        """This node itself was away for `pause_ms`: nobody's silence then counts."""
        for peer in self._peers.values():
            for path in peer.paths.values():
                path.heard_at = later(path.heard_at, pause_ms)

    def next_deadline(self) -> Instant:
        """Before this no silence can become a path's or a peer's end; FOREVER if nobody is heard."""
        return self._quiet_until

    def _next_silence(self) -> Instant:
        due = [
            later(path.heard_at, self._dead_after_ms)
            for peer in self._peers.values()
            for path in peer.paths.values()
            if path.state is PathState.UP
        ]
        return min(due, default=FOREVER)

    def _tell_path(self, at: Instant, peer: NodeId, path: PathId, *, up: bool) -> list[Effect]:
        kind = Kind.PATH_UP if up else Kind.PATH_DOWN
        severity = Severity.INFO if up else Severity.WARNING
        return [_notify(at, kind, severity, peer, f"comm path {path} to {peer} is {'up' if up else 'down'}")]


def _notify(
    at: Instant, kind: Kind, severity: Severity, peer: NodeId, text: str, took_ms: int | None = None
) -> Notify:
    return Notify(Notice(at=at, kind=kind, severity=severity, peer=peer, text=text, took_ms=took_ms))
