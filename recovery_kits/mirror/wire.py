"""A connection to an NBD server on which each step is bounded in time.

Invariants:
- a step that fails closes the connection: what comes next would be taken for something else;
- nothing beyond what was asked for is read, so whoever gets the socket finds a message's start.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address

from recovery_kits.mirror.nbd import NbdError


class Wire:
    """One TCP connection; `subject` is what its errors are about, `limit_s` what each step has."""

    def __init__(self, address: str, subject: str, limit_s: float) -> None:
        family = socket.AF_INET6 if ip_address(address).version == 6 else socket.AF_INET
        self._sock: socket.socket | None = socket.socket(family, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._address, self.subject, self._limit_s = address, subject, limit_s

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

    async def connect(self, port: int, local: str | None) -> None:
        """Connect, from the address `local` if there is one."""
        sock = self._open()
        if local is not None:
            sock.bind((local, 0))
        await asyncio.get_running_loop().sock_connect(sock, (self._address, port))

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
