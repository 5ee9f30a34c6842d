"""Connections from peers: accepted, made to prove themselves, read and acknowledged.

Invariants: few unproven connections at a time, each for a short time, only from peers' addresses; one
proven connection per peer and comm path, the newest; a letter said twice is delivered once, and none
of a life that isn't the peer's present one (somebody may have held it back).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Set

from agent.comm.channel import Channel, Ends, welcome
from agent.comm.codec import decode_letter
from agent.comm.counters import Tally, Trouble
from agent.comm.keys import Keyring
from agent.comm.outbox import ACK_BYTES
from agent.comm.wire import BadDatagram, Opener
from agent.core.ids import NodeId, PathId
from agent.core.messages import Message, Report

MAX_UNPROVEN = 16
IDLE_S = 15.0  # above the client's, who hangs up first; a letter can't be held back for longer
_ACCEPT_PAUSE_S = 0.1  # after a failed accept, such as too many open files


class Inbox:
    """Everything that peers say over TCP."""

    def __init__(
        self,
        me: NodeId,
        keyring: Keyring,
        opener: Opener,
        handshake_s: float,
        deliver: Callable[[NodeId, int, Report | Message], None],  # sender, its incarnation, what it says
        tally: Tally,
    ) -> None:
        self._me, self._keyring, self._opener = me, keyring, opener
        self._handshake_s, self._deliver, self._tally = handshake_s, deliver, tally
        self._unproven = 0
        self._proven: dict[tuple[NodeId, PathId], Channel] = {}
        self._newest: dict[NodeId, tuple[int, int]] = {}  # incarnation and id of the newest letter

    async def accept(
        self, path: PathId, listener: socket.socket, remotes: Set[str], group: asyncio.TaskGroup
    ) -> None:
        """Serve whoever connects on this comm path from one of these addresses, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listener)
            except OSError:
                self._tally.drop(Trouble.RECEIVE_FAILED)
                await asyncio.sleep(_ACCEPT_PAUSE_S)
                continue
            if address[0].partition("%")[0] not in remotes:
                self._tally.drop(Trouble.STRANGER)
                sock.close()
            elif self._unproven >= MAX_UNPROVEN:
                self._tally.drop(Trouble.CROWD)
                sock.close()
            else:
                self._unproven += 1
                group.create_task(self._serve(path, sock))

    def hang_up(self) -> None:
        """End all proven connections; peers connect again."""
        for channel in self._proven.values():
            channel.close()

    async def _serve(self, path: PathId, sock: socket.socket) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            try:
                async with asyncio.timeout(self._handshake_s):
                    reader, writer = await asyncio.open_connection(sock=sock)
                    ends, channel = await welcome(reader, writer, self._keyring, self._opener, self._me, path)
            finally:
                self._unproven -= 1
        except (OSError, EOFError):  # TimeoutError is an OSError
            self._tally.drop(Trouble.HANDSHAKE)
        except BadDatagram as bad:
            self._tally.drop(bad.reason)
        else:
            await self._listen(ends, channel)
        finally:
            if writer is None:
                sock.close()
            else:
                writer.transport.abort()

    async def _listen(self, ends: Ends, channel: Channel) -> None:
        key = ends.client, ends.path
        if key in self._proven:
            self._proven[key].close()  # its task ends by itself: nothing more can be read
        self._proven[key] = channel
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    letter_id = self._take(ends, await channel.receive())
                    await channel.send(letter_id.to_bytes(ACK_BYTES, "big"))
        except (OSError, EOFError):  # the usual end
            pass
        except BadDatagram as bad:
            self._tally.drop(bad.reason)
        finally:
            if self._proven.get(key) is channel:
                del self._proven[key]

    def _take(self, ends: Ends, body: bytes) -> int:
        letter_id, content = decode_letter(body)
        incarnation, newest = self._newest.get(ends.client, (ends.incarnation, -1))
        if incarnation != ends.incarnation or letter_id > newest:
            self._deliver(ends.client, ends.incarnation, content)
            self._newest[ends.client] = ends.incarnation, letter_id
        return letter_id
