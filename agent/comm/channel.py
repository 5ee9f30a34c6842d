"""One sealed TCP connection: from a node that has something to say to a peer that acknowledges it.

    server -> client   magic 4 | version 1 | nonce 32                    "greeting"
    client -> server   header 50 (kind HELLO) | nonce 32 | tag 16        "hello"
    both               length 4 | sealed body                            frames, at most 1 MiB

The keys, one for each direction, are derived from the cluster key, both names, the path, the client's
incarnation and both fresh nonces. So nothing said on one connection means anything on another one, to
another node, on another path or in the other direction; a frame left out, repeated or moved breaks the
counter and ends the connection.

Invariant: what is read before the hello proves itself has a fixed, small length.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.comm.keys import Keyring
from agent.comm.wire import (
    HEADER,
    MAGIC,
    TAG_BYTES,
    VERSION,
    BadDatagram,
    Kind,
    Opener,
    Reason,
    node_hash,
    nonce,
    path_hash,
)
from agent.core.ids import NodeId, PathId

MAX_FRAME_BYTES = 1 << 20  # of a sealed body
_NONCE_BYTES = 32
_GREETING = struct.Struct(f">4sB{_NONCE_BYTES}s")
_HELLO_BYTES = HEADER.size + _NONCE_BYTES + TAG_BYTES
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True)
class Ends:
    """Who connects to whom, and by which comm path."""

    client: NodeId
    server: NodeId
    path: PathId
    incarnation: int  # of the client


class Channel:
    """Frames in both directions, after the handshake."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        says: ChaCha20Poly1305,
        hears: ChaCha20Poly1305,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._says, self._hears = says, hears
        self._said = self._heard = 0  # frames; the hello had number 0

    async def send(self, body: bytes) -> None:
        """Say one frame of at most MAX_FRAME_BYTES - TAG_BYTES; OSError if the connection is broken."""
        self._said += 1
        length = _LENGTH.pack(len(body) + TAG_BYTES)
        self._writer.write(length + self._says.encrypt(nonce(self._said), body, length))
        await self._writer.drain()

    async def receive(self) -> bytes:
        """The next frame. OSError, EOFError or BadDatagram: the connection is of no use any more."""
        prefix = await self._reader.readexactly(_LENGTH.size)
        (length,) = _LENGTH.unpack(prefix)
        if not TAG_BYTES <= length <= MAX_FRAME_BYTES:
            raise BadDatagram(Reason.LENGTH)
        sealed = await self._reader.readexactly(length)
        self._heard += 1
        return _decrypt(self._hears, nonce(self._heard), sealed, prefix)

    def is_over(self) -> bool:
        """Whether the other end has closed it."""
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        """Drop the connection at once; what wasn't acknowledged wasn't said."""
        self._writer.transport.abort()


async def greet(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keyring: Keyring, ends: Ends
) -> Channel:
    """The client's side of the handshake; OSError, EOFError or BadDatagram if it fails."""
    magic, version, server_nonce = _GREETING.unpack(await reader.readexactly(_GREETING.size))
    if magic != MAGIC or version != VERSION:
        raise BadDatagram(Reason.MAGIC)
    client_nonce = secrets.token_bytes(_NONCE_BYTES)
    says, hears = _ciphers(keyring, keyring.newest, ends, server_nonce + client_nonce)
    header = HEADER.pack(
        MAGIC, VERSION, Kind.HELLO, keyring.newest, node_hash(ends.client), node_hash(ends.server),
        path_hash(ends.path), ends.incarnation, 0,
    )  # fmt: skip
    hello = header + client_nonce
    writer.write(hello + says.encrypt(nonce(0), b"", hello))
    await writer.drain()
    return Channel(reader, writer, says, hears)


async def welcome(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    keyring: Keyring,
    opener: Opener,
    me: NodeId,
    path: PathId,
) -> tuple[Ends, Channel]:
    """The server's side: who is there, proven; OSError, EOFError or BadDatagram if nobody we know."""
    server_nonce = secrets.token_bytes(_NONCE_BYTES)
    writer.write(_GREETING.pack(MAGIC, VERSION, server_nonce))
    hello = await reader.readexactly(_HELLO_BYTES)
    header = opener.check(memoryview(hello), Kind.HELLO, path_hash(path))
    ends = Ends(header.sender, me, path, header.incarnation)
    client_nonce = hello[HEADER.size : HEADER.size + _NONCE_BYTES]
    hears, says = _ciphers(keyring, header.key_id, ends, server_nonce + client_nonce)
    _decrypt(hears, nonce(0), hello[-TAG_BYTES:], hello[:-TAG_BYTES])
    return ends, Channel(reader, writer, says, hears)


def _ciphers(
    keyring: Keyring, key_id: bytes, ends: Ends, nonces: bytes
) -> tuple[ChaCha20Poly1305, ChaCha20Poly1305]:
    """For what the client says, and for what the server says."""
    context = (
        ends.client.encode(), ends.server.encode(), ends.path.encode(),
        ends.incarnation.to_bytes(8, "big"), nonces,
    )  # fmt: skip
    return keyring.cipher(key_id, b"client says", *context), keyring.cipher(key_id, b"server says", *context)


def _decrypt(cipher: ChaCha20Poly1305, its_nonce: bytes, sealed: bytes, header: bytes) -> bytes:
    try:
        return cipher.decrypt(its_nonce, sealed, header)
    except InvalidTag:
        raise BadDatagram(Reason.SEAL) from None
