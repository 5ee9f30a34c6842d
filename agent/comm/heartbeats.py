"""Heartbeats over UDP: one datagram per peer and comm path each interval.

Invariants: sending keeps to absolute deadlines (no drift), and a loop that was late skips what it missed
(no burst); a flood on one socket yields to the loop after a bounded number of datagrams, and a
stranger's doesn't fill the sockets that peers' datagrams come in by; the kernel's refusals are counted
and never raised; what is rejected costs as little as possible, in this order: length, header, counter,
seal, body, echo.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

from agent.comm import sockets
from agent.comm.codec import CHALLENGE_BYTES, Echo, HeartbeatFrame, decode_heartbeat, encode_heartbeat
from agent.comm.counters import Tally, Trouble
from agent.comm.paths import Heard, Moment, PeerSession
from agent.comm.wire import (
    MAX_DATAGRAM_BYTES,
    BadDatagram,
    Kind,
    Opener,
    Reason,
    Sealer,
    node_hash,
    path_hash,
)
from agent.config.model import PathAddresses
from agent.core.ids import Instant, NodeId, PathId
from agent.core.model import Heartbeat

_DRAIN = 64  # datagrams taken from one socket before others get their turn
Compose = Callable[
    [NodeId, int, bytes, tuple[Echo, ...]], HeartbeatFrame
]  # peer, sequence, challenge, echoes
OnHeard = Callable[[NodeId, PathId, HeartbeatFrame, Heard, Instant], None]  # only those that count
OnUncounted = Callable[[NodeId, PathId, HeartbeatFrame, int, Instant], None]  # but that may be echoed


class Heartbeats:
    """Speaks and listens on every comm path of this node."""

    def __init__(
        self,
        paths: Mapping[PathId, PathAddresses],
        me: NodeId,
        sessions: Mapping[NodeId, PeerSession],
        sealer: Sealer,
        opener: Opener,
        heartbeat: Heartbeat,
        clock_ms: Callable[[], Instant],
        compose: Compose,
        on_heard: OnHeard,
        on_uncounted: OnUncounted,
        tally: Tally,
    ) -> None:
        self._paths, self._me, self._sessions = paths, me, sessions
        self._sealer, self._opener, self._tally = sealer, opener, tally
        self._interval_s, self._clock_ms = heartbeat.interval_ms / 1_000, clock_ms
        self._compose, self._on_heard = compose, on_heard
        self._on_uncounted = on_uncounted
        self._node_hashes = {node: node_hash(node) for node in sessions}
        self._path_hashes = {name: path_hash(name) for name in paths}
        self._sockets: dict[PathId, socket.socket] = {}

    def open(self, stack: ExitStack) -> None:
        """Bind the sockets, to be closed with the stack; OSError if a port is taken by another program."""
        stack.callback(self._sockets.clear)
        for name, path in self._paths.items():
            self._sockets[name] = stack.enter_context(sockets.udp(path.addresses[self._me], path.port))

    def ears(self, stack: ExitStack) -> Iterator[tuple[PathId, socket.socket]]:
        """Every socket to `listen` on: one per comm path for strangers, one for each peer there."""
        for name, path in self._paths.items():
            yield name, self._sockets[name]
            for node, remote in path.addresses.items():
                if node != self._me and (
                    ear := sockets.udp_from(path.addresses[self._me], remote, path.port)
                ):
                    yield name, stack.enter_context(ear)

    async def beat(self) -> None:
        """Speak everywhere each interval, until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.send_everywhere()
            due, now = due + self._interval_s, loop.time()
            if due <= now:  # late by an interval or more
                due = now + self._interval_s
            await asyncio.sleep(due - now)

    def send_everywhere(self) -> None:
        """One heartbeat to every peer on every comm path; nothing while the sockets aren't open."""
        for path in self._sockets:
            for peer, session in self._sessions.items():
                if path in session.paths:
                    self._send(peer, path)

    async def listen(self, path: PathId, ear: socket.socket) -> None:
        """Hear what comes in by one socket of a comm path, until cancelled."""
        loop = asyncio.get_running_loop()
        buffer = memoryview(bytearray(MAX_DATAGRAM_BYTES + 1))  # one more: too long ones show
        while True:
            for _ in range(_DRAIN):
                try:
                    length = await loop.sock_recv_into(ear, buffer)
                except ConnectionRefusedError:
                    pass  # says only that nobody listens there for what I sent
                except OSError:
                    self._tally.drop(Trouble.RECEIVE_FAILED)
                    await asyncio.sleep(self._interval_s)
                else:
                    self._take(path, buffer[:length])
            await asyncio.sleep(0)

    def _send(self, peer: NodeId, path: PathId) -> None:
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        session = self._sessions[peer]
        sequence, echoes = session.paths[path].sending(challenge, self._now(), session.incarnation)
        body = encode_heartbeat(self._compose(peer, sequence, challenge, echoes))
        datagram = self._sealer.seal(self._node_hashes[peer], self._path_hashes[path], body)
        setup = self._paths[path]
        try:
            self._sockets[path].sendto(datagram, (str(setup.addresses[peer]), setup.port))
        except OSError:
            self._tally.drop(Trouble.SEND_FAILED)
        else:
            self._tally.sent += 1

    def _take(self, path: PathId, datagram: memoryview) -> None:
        try:
            header = self._opener.check(datagram, Kind.HEARTBEAT, self._path_hashes[path])
            session = self._sessions[header.sender]
            line = session.paths.get(path)
            if line is None:
                raise BadDatagram(Reason.MISDIRECTED)
            if not line.is_new(header.incarnation, header.counter):
                raise BadDatagram(Reason.REPLAY)
            frame = decode_heartbeat(self._opener.unseal(header, datagram))
        except BadDatagram as bad:
            self._tally.drop(bad.reason)
            return
        now = self._now()
        waits = header.incarnation != session.incarnation or not line.is_up(now.at)
        try:
            heard = session.hear(path, header.incarnation, header.counter, frame, now)
        except BadDatagram as bad:
            self._tally.drop(bad.reason)
            self._on_uncounted(header.sender, path, frame, header.incarnation, now.at)
        else:
            self._tally.heard += 1
            self._on_heard(header.sender, path, frame, heard, now.at)
        if waits and line.may_prompt(now.at):  # to be believed, a new life needn't wait for an interval
            self._send(header.sender, path)

    def _now(self) -> Moment:
        return Moment(self._clock_ms(), time.monotonic_ns() // 1_000)
