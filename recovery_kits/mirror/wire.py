"""A connection to an NBD server on which each step is bounded in time.

Invariants:
- a step that fails closes the connection: what comes next would be taken for something else;
- nothing beyond what was asked for is read, so whoever gets the socket finds a message's start.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Protocol

from recovery_kits.mirror.nbd import NbdError


class Line(Protocol):
    """What an NBD session needs of its connection."""

    async def send(self, message: bytes) -> None:
        """Send all of it."""

    async def exactly(self, length: int) -> bytes:
        """The next `length` bytes."""

    def error(self, reason: str) -> NbdError:
        """An error about this connection."""


class Wire:
    """One stream socket; `subject` is what its errors are about, `limit_s` what each step has."""

    def __init__(self, sock: socket.socket, subject: str, limit_s: float) -> None:
        self._sock: socket.socket | None = sock
        self._sock.setblocking(False)
        self.subject, self._limit_s = subject, limit_s

    @asynccontextmanager
    async def step(self) -> AsyncIterator[None]:
        """Bound what is done inside; whatever goes wrong closes the connection, an OSError is an NbdError."""
        try:
            async with asyncio.timeout(self._limit_s):
                yield
        except OSError as error:
            self.close()
            within = f"no answer within {self._limit_s:g} s"
            reason = os.strerror(error.errno) if error.errno else within  # asyncio has its own words
            raise NbdError(self.subject, reason, error.errno or 0) from error
        except BaseException:
            self.close()
            raise

    async def connect(self, address: str, port: int, local: str | None) -> None:
        """Connect a TCP socket, from the address `local` if there is one."""
        sock = self._open()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if local is not None:
            sock.bind((local, 0))
        await asyncio.get_running_loop().sock_connect(sock, (address, port))

    async def send(self, message: bytes) -> None:
        """Send all of it."""
        await asyncio.get_running_loop().sock_sendall(self._open(), message)

    async def exactly(self, length: int) -> bytes:
        """The next `length` bytes."""
        sock, loop = self._open(), asyncio.get_running_loop()
        found = bytearray()
        while len(found) < length:
            part = await loop.sock_recv(sock, length - len(found))
            if not part:
                raise self.error("the server closed the connection")
            found += part
        return bytes(found)

    async def line(self, limit_bytes: int) -> bytes:
        """What comes before the next newline, at most `limit_bytes`."""
        found = bytearray()
        while (byte := await self.exactly(1)) != b"\n":
            if len(found) == limit_bytes:
                raise self.error(f"a line of more than {limit_bytes} bytes")
            found += byte
        return bytes(found)

    def error(self, reason: str) -> NbdError:
        """An error about this connection."""
        return NbdError(self.subject, reason)

    def release(self) -> socket.socket:
        """Give the socket away."""
        sock, self._sock = self._open(), None
        return sock

    def close(self, goodbye: bytes = b"") -> None:
        """Close, after a message that needn't arrive; again is fine."""
        if self._sock is None:
            return
        sock = self.release()
        try:
            sock.send(goodbye)
        except OSError:
            return
        finally:
            sock.close()

    def _open(self) -> socket.socket:
        if self._sock is None:
            raise self.error("the session is closed")
        return self._sock


def dialling(address: str, port: int, export: str, limit_s: float) -> Wire:
    """A wire that isn't connected yet, to this IP address."""
    family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
    at = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return Wire(socket.socket(family, socket.SOCK_STREAM), f"{at}/{export}", limit_s)


def end_soon(sock: socket.socket, user_timeout_ms: int) -> None:
    """Have a TCP connection whose peer is dead end by itself, and leave nothing behind when it is closed.

    What was sent and isn't acknowledged after `user_timeout_ms` ends it (tcp(7), TCP_USER_TIMEOUT), and so
    does silence while nothing is sent. When its last user closes it, nothing that is still queued is sent
    any more (SO_LINGER): unanswered requests are repeated on the next connection, and late first copies
    must not overwrite what was written after them.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout_ms)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL):
        sock.setsockopt(socket.IPPROTO_TCP, option, 1)
