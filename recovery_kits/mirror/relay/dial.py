"""The relay's connection to the target's server: agreed on, and inside TLS if so ordered."""

from __future__ import annotations

import asyncio
import os
import ssl

from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.negotiation import Found, agree, ask_for_tls, greet
from recovery_kits.mirror.relay.order import Credentials, Order
from recovery_kits.mirror.wire import dialling, end_soon

BUFFER_BYTES = 1 << 20  # of each stream


class Stream:
    """A connection as asyncio's streams, which TLS needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, subject: str) -> None:
        self.reader, self.writer, self._subject = reader, writer, subject

    async def send(self, message: bytes) -> None:
        """Send all of it, or have it sent: what waits has a bound."""
        self.writer.write(message)
        await self.writer.drain()

    async def exactly(self, length: int) -> bytes:
        """The next `length` bytes; raises NbdError or OSError."""
        try:
            return await self.reader.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise self.error("the server closed the connection") from error

    def error(self, reason: str) -> NbdError:
        """An error about this connection."""
        return NbdError(self._subject, reason)

    def abort(self) -> None:
        """Close at once; what hasn't been sent is dropped."""
        self.writer.transport.abort()


async def dial(order: Order) -> tuple[Stream, Found]:
    """Connect, and agree on the export. Raises NbdError."""
    wire = dialling(order.address, order.port, order.export, order.limit_s)
    try:
        async with wire.step():
            await wire.connect(order.address, order.port, order.local)
            await greet(wire)
            if order.credentials is not None:
                await ask_for_tls(wire)
            sock = wire.release()
            end_soon(sock, order.user_timeout_ms)
            trust = None if order.credentials is None else _trust(order.credentials)
            # No name is checked, and none told: whoever has the cluster's key is believed.
            name = None if trust is None else ""
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=trust, server_hostname=name, limit=BUFFER_BYTES
            )
            stream = Stream(reader, writer, wire.subject)
            return stream, await agree(stream, order.export)
    except NbdError as error:
        if isinstance(error.__cause__, ssl.SSLError):  # its numbers aren't the system's
            raise NbdError(wire.subject, f"TLS: {_reason(error.__cause__)}") from error
        raise


def _trust(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_verify_locations(cadata=credentials.trusted)
    # OpenSSL reads keys from files alone: this one is in memory, and nobody else's.
    descriptor = os.memfd_create("credentials")
    try:
        os.write(descriptor, (credentials.certificate + credentials.private_key).encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


def _reason(error: ssl.SSLError) -> str:
    """Such as "certificate verify failed"."""
    said = (error.reason or str(error)).lower().replace("_", " ")
    return f"{said}: do all nodes have the same cluster key?"
