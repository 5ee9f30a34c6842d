"""An NBD session as a client: agrees on an export, reads from it, hands its socket to the kernel.

The kernel can't negotiate, and a leg's superblock and bitmap are wanted before the kernel gets the leg.
Invariant: every length is checked before it is used, and what a server may say has a bound.

Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md (fixed newstyle, NBD_OPT_GO,
simple replies).
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass, replace
from types import TracebackType

from recovery_kits.mirror.nbd import Flag, NbdError
from recovery_kits.mirror.wire import Line, Wire, dialling, end_soon

_MAGIC, _OPTION_MAGIC = b"NBDMAGIC", b"IHAVEOPT"
_OPTION_REPLY_MAGIC, _REQUEST_MAGIC, _REPLY_MAGIC = 0x3E889045565A9, 0x25609513, 0x67446698
_FIXED_NEWSTYLE = 1
_OPTION_START_TLS, _OPTION_GO = 5, 7
_ACK, _INFO, _REFUSED, _TLS_WANTED = 1, 3, 1 << 31, (1 << 31) + 5
_INFO_EXPORT, _INFO_DESCRIPTION = 0, 2
_COMMAND_READ, _COMMAND_WRITE, _COMMAND_DISCONNECT = 0, 1, 2

_GREETING = struct.Struct(">8s8sH")  # magic, magic, handshake flags
_CLIENT_FLAGS = struct.Struct(">I")
_OPTION = struct.Struct(">8sII")  # magic, option, length
_OPTION_REPLY = struct.Struct(">QIII")  # magic, option, type, length
_INFO_KIND = struct.Struct(">H")
_EXPORT = struct.Struct(">HQH")  # kind, size in bytes, transmission flags
_REQUEST = struct.Struct(">IHHQQI")  # magic, flags, command, cookie, offset, length
_REPLY = struct.Struct(">IIQ")  # magic, errno, cookie

_OPTION_ANSWERS = 32  # to one option; servers send about three
_ANSWER_BYTES = 4_096  # of one of them; the longest is a text
_NAME_BYTES = 4_096  # by the protocol
_READ_BYTES = 1 << 20  # in one request; servers take at least 32 MiB
_SHOWN = 200  # characters of a server's text


@dataclass(frozen=True)
class Found:
    """An export as its server tells it."""

    size_bytes: int
    flags: Flag
    description: str = ""


async def negotiate(
    address: str, port: int, export: str, *, limit_s: float, local: str | None = None
) -> Session:
    """Agree with the server at this IP address on an export; from the address `local`, if given.

    Raises NbdError, at the latest after `limit_s` seconds; each later read has that long, too.
    """
    wire = dialling(address, port, export, limit_s)
    async with wire.step():
        await wire.connect(address, port, local)
        await greet(wire)
        found = await agree(wire, export)
    return Session(wire, found)


class Session:
    """An export that was agreed on: `size_bytes` long, of the server's `flags`; `async with` closes it."""

    def __init__(self, wire: Wire, found: Found) -> None:
        self._wire, self.size_bytes, self.flags = wire, found.size_bytes, found.flags
        self.description = found.description
        self._cookie = 0

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, all within the export; one read at a time.

        Raises NbdError, and then the session is closed.
        """
        assert 0 <= offset <= offset + length <= self.size_bytes, (offset, length, self.size_bytes)
        found = bytearray()
        async with self._wire.step():
            while len(found) < length:
                found += await self._piece(offset + len(found), min(length - len(found), _READ_BYTES))
        return bytes(found)

    async def rewrite(self, offset: int, length: int) -> None:
        """Write what is there already: returns when the disk has taken it.

        Raises NbdError, and then the session is closed.
        """
        found = await self.read(offset, length)
        async with self._wire.step():
            await self._ask(_COMMAND_WRITE, offset, length, found)

    def detach(self, *, user_timeout_ms: int) -> socket.socket:
        """The socket, blocking, ready for the kernel; the session is over, the caller closes the socket.

        A TCP connection ends soon after its peer's death (`wire.end_soon`); a relay sees to its own.
        """
        sock = self._wire.release()
        if sock.family != socket.AF_UNIX:
            end_soon(sock, user_timeout_ms)
        sock.setblocking(True)
        return sock

    def close(self) -> None:
        """Leave; again is fine."""
        self._wire.close(_REQUEST.pack(_REQUEST_MAGIC, 0, _COMMAND_DISCONNECT, 0, 0, 0))

    async def _piece(self, offset: int, length: int) -> bytes:
        await self._ask(_COMMAND_READ, offset, length)
        return await self._wire.exactly(length)

    async def _ask(self, command: int, offset: int, length: int, data: bytes = b"") -> None:
        """Returns when the server says that it is done."""
        wire, self._cookie = self._wire, self._cookie + 1
        await wire.send(_REQUEST.pack(_REQUEST_MAGIC, 0, command, self._cookie, offset, length) + data)
        magic, errno, cookie = _REPLY.unpack(await wire.exactly(_REPLY.size))
        if (magic, cookie) != (_REPLY_MAGIC, self._cookie):
            raise wire.error("the server sent something else than the answer to a request")
        if errno:  # the protocol's numbers are Linux's
            what = "write" if command == _COMMAND_WRITE else "read"
            reason = f"can't {what} {length} bytes from {offset}: {os.strerror(errno)}"
            raise NbdError(wire.subject, reason, errno)


async def greet(line: Line) -> None:
    """Take the server's greeting and answer it."""
    magic, option_magic, flags = _GREETING.unpack(await line.exactly(_GREETING.size))
    if (magic, option_magic) != (_MAGIC, _OPTION_MAGIC):
        raise line.error("this is no NBD server of the newstyle protocol")
    if not flags & _FIXED_NEWSTYLE:
        raise line.error("the NBD server is too old for fixed newstyle negotiation")
    await line.send(_CLIENT_FLAGS.pack(_FIXED_NEWSTYLE))


async def ask_for_tls(line: Line) -> None:
    """Have the server expect a TLS handshake next; what follows is the same inside."""
    await line.send(_OPTION.pack(_OPTION_MAGIC, _OPTION_START_TLS, 0))
    kind, _ = await _answer(line, _OPTION_START_TLS)
    if kind != _ACK:
        raise line.error("the server has no TLS: `tls` differs between the nodes' configurations")


async def agree(line: Line, name: str) -> Found:
    """Agree on an export; the next thing on the line is a request."""
    export = name.encode()
    assert len(export) <= _NAME_BYTES, name
    asked = struct.pack(">I", len(export)) + export + struct.pack(">HH", 1, _INFO_DESCRIPTION)
    await line.send(_OPTION.pack(_OPTION_MAGIC, _OPTION_GO, len(asked)) + asked)
    found: Found | None = None
    description = ""
    for _ in range(_OPTION_ANSWERS):
        kind, answer = await _answer(line, _OPTION_GO)
        if kind == _ACK:
            if found is None:
                raise line.error("the server agreed without saying the export's size")
            return replace(found, description=description)
        if kind == _TLS_WANTED:
            raise line.error("the server wants TLS: `tls` differs between the nodes' configurations")
        if kind & _REFUSED:
            said = answer.decode(errors="replace")[:_SHOWN]
            raise line.error(f"the server refused: {said!r} ({kind & ~_REFUSED})")
        if kind == _INFO and len(answer) >= _INFO_KIND.size:
            (about,) = _INFO_KIND.unpack_from(answer)
            if about == _INFO_EXPORT:
                found = _export(line, answer)
            elif about == _INFO_DESCRIPTION:
                description = answer[_INFO_KIND.size :].decode(errors="replace")
    raise line.error(f"the server gave {_OPTION_ANSWERS} answers and didn't come to an end")


async def _answer(line: Line, asked: int) -> tuple[int, bytes]:
    """The type and the data of one answer to an option."""
    magic, option, kind, length = _OPTION_REPLY.unpack(await line.exactly(_OPTION_REPLY.size))
    if (magic, option) != (_OPTION_REPLY_MAGIC, asked):
        raise line.error("the server sent something else than the answer to an option")
    if length > _ANSWER_BYTES:
        raise line.error(f"the server's answer is {length} bytes long; {_ANSWER_BYTES} are the most")
    return kind, await line.exactly(length)


def _export(line: Line, answer: bytes) -> Found:
    if len(answer) != _EXPORT.size:
        raise line.error(f"the server describes the export in {len(answer)} bytes instead of {_EXPORT.size}")
    _, size_bytes, flags = _EXPORT.unpack(answer)
    if size_bytes >= 1 << 63:
        raise line.error(f"the server says that the export has {size_bytes} bytes")
    return Found(size_bytes, Flag(flags))
