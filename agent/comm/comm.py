"""This node's voice and ear: sealed heartbeats on every comm path, messages by the best one.

Everything runs on one asyncio loop, in one TaskGroup; `on_event` is called on it. What is heard becomes
core events only after it is authentic, fresh and addressed to this node; all else is counted.

A report rides on every heartbeat while it is short enough. A longer one goes over TCP: when it changes,
and whenever a peer's heartbeat says that the peer knows an older one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agent.comm import sockets
from agent.comm.channel import Channel, Ends, greet
from agent.comm.codec import (
    MAX_LABEL,
    MAX_REPORT_BYTES,
    NO_REPORT,
    Echo,
    HeartbeatFrame,
    Known,
    decode_report,
    encode_report,
)
from agent.comm.counters import Counters, Tally
from agent.comm.heartbeats import Heartbeats
from agent.comm.inbox import Inbox
from agent.comm.keys import Keyring, objections
from agent.comm.outbox import Outbox
from agent.comm.paths import Heard, PeerSession
from agent.comm.wire import INCARNATION_BITS, BadDatagram, Opener, Reason, Sealer
from agent.config.model import PathAddresses
from agent.core.events import Event, HeartbeatHeard, MessageHeard, PeerLeft, ReportHeard
from agent.core.ids import Instant, NodeId, PathId
from agent.core.messages import Message, Report
from agent.core.model import Heartbeat

_GOODBYES = 3  # a goodbye isn't acknowledged: said so often, so far apart
_GOODBYE_PAUSE_S = 0.02


@dataclass(frozen=True, kw_only=True)
class PathStats:
    """One comm path to one peer, for people to look at."""

    name: PathId
    priority: int
    local: str
    remote: str
    rtt_ms: float | None  # of the newest heartbeat that counted
    loss_percent: float | None  # of the last hundred


@dataclass(frozen=True, kw_only=True)
class PeerInfo:
    """What a peer says of its own agent."""

    version: str
    config_digest: str
    incarnation: int
    keys: tuple[bytes, ...]  # ids of the cluster keys that it holds; the first seals


@dataclass
class _Peer:
    """One peer: its lives and paths, what waits for it, and what it last said of itself."""

    session: PeerSession
    outbox: Outbox
    known: Known | None = None  # its newest report that was handed on
    info: PeerInfo | None = None
    posted_at: Instant | None = None  # when my report was last put in its outbox


class Comm:
    """See the top of this file. `config_digest` may be set anew after a reload."""

    def __init__(
        self,
        me: NodeId,
        paths: Sequence[PathAddresses],
        keyring: Keyring,
        heartbeat: Heartbeat,
        config_digest: str,
        version: str,
        clock_ms: Callable[[], Instant],
        on_event: Callable[[Event], None],
    ) -> None:
        assert max(len(config_digest), len(version)) <= MAX_LABEL, (config_digest, version)
        self.me, self.config_digest = me, config_digest
        self.incarnation = secrets.randbits(INCARNATION_BITS)
        self._keyring, self._heartbeat, self._version = keyring, heartbeat, version
        self._clock_ms, self._on_event = clock_ms, on_event
        self._tally = Tally()
        mine = sorted((path for path in paths if me in path.addresses), key=lambda path: path.priority)
        self._paths = {path.name: path for path in mine}
        names = dict.fromkeys(node for path in mine for node in path.addresses if node != me)
        self._peers = {name: self._peer(name) for name in names}
        opener = Opener(keyring, me, names)
        self._heartbeats = Heartbeats(
            self._paths,
            me,
            {name: peer.session for name, peer in self._peers.items()},
            Sealer(keyring, me, self.incarnation),
            opener,
            heartbeat,
            clock_ms,
            self._compose,
            self._heartbeat_heard,
            self._uncounted_heard,
            self._tally,
        )
        handshake_s = heartbeat.dead_after_ms / 2_000
        self._inbox = Inbox(me, keyring, opener, handshake_s, self._letter_heard, self._tally)
        self._report: Report | None = None
        self._riding = NO_REPORT  # the report, encoded, if it is short enough for heartbeats
        self._leaving = False

    async def run(self) -> None:
        """Speak and listen until cancelled; OSError at once if a port is taken by another program."""
        with contextlib.ExitStack() as stack:
            listeners = {  # first: these are refused while another agent has the port
                name: stack.enter_context(sockets.listener(path.addresses[self.me], path.port))
                for name, path in self._paths.items()
            }
            self._heartbeats.open(stack)
            async with asyncio.TaskGroup() as group:
                for name, path in self._paths.items():
                    remotes = frozenset(str(address) for address in path.addresses.values())
                    group.create_task(self._inbox.accept(name, listeners[name], remotes, group))
                for name, ear in self._heartbeats.ears(stack):
                    group.create_task(self._heartbeats.listen(name, ear))
                for peer in self._peers.values():
                    group.create_task(peer.outbox.run())
                group.create_task(self._heartbeats.beat())

    def publish(self, report: Report) -> None:
        """Say this on heartbeats from now on, and one goes out at once on every path."""
        encoded = encode_report(report)
        short = len(bytes(encoded)) <= MAX_REPORT_BYTES
        self._report, self._riding = report, encoded if short else NO_REPORT
        self._heartbeats.send_everywhere()
        if not short:
            for peer in self._peers.values():
                if peer.session.routes(self._clock_ms()):  # the others get it once they are heard
                    self._post_report(peer)

    def send(self, to: NodeId, message: Message) -> None:
        """Say this by the best comm path that is up; counted and lost if none is."""
        self._peers[to].outbox.put(message)

    async def goodbye(self) -> None:
        """Tell every peer that this agent ends in good order; takes 60 ms. Then cancel `run`."""
        self._leaving = True
        for _ in range(_GOODBYES):
            self._heartbeats.send_everywhere()
            await asyncio.sleep(_GOODBYE_PAUSE_S)

    def path_stats(self) -> dict[NodeId, tuple[PathStats, ...]]:
        """Every comm path to every peer, by priority."""
        at = self._clock_ms()
        return {
            name: tuple(
                PathStats(
                    name=path,
                    priority=self._paths[path].priority,
                    local=str(self._paths[path].addresses[self.me]),
                    remote=str(self._paths[path].addresses[name]),
                    rtt_ms=session.rtt_ms,
                    loss_percent=session.loss_percent(at),
                )
                for path, session in peer.session.paths.items()
            )
            for name, peer in self._peers.items()
        }

    def peer_info(self) -> dict[NodeId, PeerInfo]:
        """What the peers heard so far say of their agents."""
        return {name: peer.info for name, peer in self._peers.items() if peer.info is not None}

    @property
    def key_ids(self) -> tuple[bytes, ...]:
        """Of the cluster keys in force here; the first seals."""
        return self._keyring.ids

    def why_not(self, keyring: Keyring) -> list[str]:
        """What speaks against putting these keys in force: the peers heard now that couldn't follow."""
        at = self._clock_ms()
        heard = {
            name: peer.info.keys
            for name, peer in self._peers.items()
            if peer.info is not None and peer.info.keys and peer.session.routes(at)
        }
        return objections(keyring, self._keyring, heard)

    def use_keys(self, keyring: Keyring) -> None:
        """Seal and open with these from the next datagram on; no connection outlives a key dropped."""
        dropped = set(self._keyring.ids) - set(keyring.ids)
        self._keyring.become(keyring)
        if dropped:
            self._inbox.hang_up()
            for peer in self._peers.values():
                peer.outbox.hang_up()
        self._heartbeats.send_everywhere()

    def counters(self) -> Counters:
        """Heartbeats and drops since this agent started."""
        return self._tally.counters()

    def _peer(self, name: NodeId) -> _Peer:
        session = PeerSession(
            self._heartbeat, [path.name for path in self._paths.values() if name in path.addresses]
        )

        def dial(path: PathId) -> Awaitable[Channel]:
            return self._dial(name, path)

        def routes() -> list[PathId]:
            return session.routes(self._clock_ms())

        within_ms = self._heartbeat.dead_after_ms
        return _Peer(session, Outbox(dial, routes, self._clock_ms, within_ms, self._tally))

    def _compose(
        self, peer: NodeId, sequence: int, challenge: bytes, echoes: tuple[Echo, ...]
    ) -> HeartbeatFrame:
        return HeartbeatFrame(
            sequence=sequence,
            challenge=challenge,
            echoes=echoes,
            leaving=self._leaving,
            version=self._version,
            config_digest=self.config_digest,
            known=self._peers[peer].known,
            revision=self._report.revision if self._report is not None else None,
            report=self._riding,
            keys=self._keyring.ids,
        )

    def _heartbeat_heard(
        self, name: NodeId, path: PathId, frame: HeartbeatFrame, heard: Heard, at: Instant
    ) -> None:
        peer, incarnation = self._peers[name], heard.incarnation
        peer.info = PeerInfo(
            version=frame.version,
            config_digest=frame.config_digest,
            incarnation=incarnation,
            keys=frame.keys,
        )
        if not frame.leaving:
            event = HeartbeatHeard(at, name, path, incarnation, heard.answers, frame.revision)
            self._on_event(event)
        if frame.revision is not None and self._is_news(peer, incarnation, frame.revision):
            self._report_on_heartbeat(name, peer, incarnation, frame, at)
        if frame.leaving:
            peer.session.leave()
            self._on_event(PeerLeft(at, name, incarnation))
        elif self._report is not None and frame.known != Known(self.incarnation, self._report.revision):
            self._remind(peer, at)

    def _uncounted_heard(
        self, name: NodeId, path: PathId, frame: HeartbeatFrame, incarnation: int, at: Instant
    ) -> None:
        """It proves no life, but my next heartbeat may echo it: whoever is promised something must know."""
        self._on_event(HeartbeatHeard(at, name, path, incarnation, None, frame.revision))

    def _report_on_heartbeat(
        self, name: NodeId, peer: _Peer, incarnation: int, frame: HeartbeatFrame, at: Instant
    ) -> None:
        try:
            report = decode_report(frame)
        except BadDatagram as bad:  # the heartbeat counted all the same: its sender lives
            self._tally.drop(bad.reason)
            return
        if report is not None:
            self._report_heard(name, peer, incarnation, report, at)

    def _letter_heard(self, name: NodeId, incarnation: int, content: Report | Message) -> None:
        """Raises BadDatagram for a letter of another life than the present one: it isn't acknowledged."""
        peer, at = self._peers[name], self._clock_ms()
        if incarnation != peer.session.incarnation:
            raise BadDatagram(Reason.OLD_LIFE)  # if it is a new one, it is said once more
        if not isinstance(content, Report):
            self._on_event(MessageHeard(at, name, content))
        elif peer.session.left:
            self._tally.drop(Reason.OLD_LIFE)
        elif self._is_news(peer, incarnation, content.revision):
            self._report_heard(name, peer, incarnation, content, at)

    def _report_heard(self, name: NodeId, peer: _Peer, incarnation: int, report: Report, at: Instant) -> None:
        peer.known = Known(incarnation, report.revision)
        self._on_event(ReportHeard(at, name, incarnation, report))

    @staticmethod
    def _is_news(peer: _Peer, incarnation: int, revision: int) -> bool:
        known = peer.known
        return known is None or known.incarnation != incarnation or known.revision < revision

    def _remind(self, peer: _Peer, at: Instant) -> None:
        """The peer doesn't know my newest report: say a long one again, if that isn't under way."""
        patience_ms = self._heartbeat.dead_after_ms // 2
        if self._riding == NO_REPORT and (peer.posted_at is None or at - peer.posted_at >= patience_ms):
            self._post_report(peer)

    def _post_report(self, peer: _Peer) -> None:
        assert self._report is not None
        peer.posted_at = self._clock_ms()
        peer.outbox.put_report(self._report)

    async def _dial(self, peer: NodeId, path: PathId) -> Channel:
        setup = self._paths[path]
        ends = Ends(self.me, peer, path, self.incarnation)
        with contextlib.ExitStack() as undo:
            sock = undo.enter_context(sockets.outgoing(setup.addresses[self.me]))
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (str(setup.addresses[peer]), setup.port))
            reader, writer = await asyncio.open_connection(sock=sock)
            undo.callback(writer.transport.abort)
            channel = await greet(reader, writer, self._keyring, ends)
            undo.pop_all()
            return channel
