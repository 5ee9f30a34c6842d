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
from types import TracebackType

from recovery_kits.mirror.nbd import Flag, NbdError
from recovery_kits.mirror.wire import Wire

_MAGIC, _OPTION_MAGIC = b"NBDMAGIC", b"IHAVEOPT"
_OPTION_REPLY_MAGIC, _REQUEST_MAGIC, _REPLY_MAGIC = 0x3E889045565A9, 0x25609513, 0x67446698
_FIXED_NEWSTYLE = 1
_OPTION_GO = 7
_ACK, _INFO, _REFUSED = 1, 3, 1 << 31
_INFO_EXPORT = 0
_COMMAND_READ, _COMMAND_DISCONNECT = 0, 2

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


async def negotiate(
    address: str, port: int, export: str, *, limit_s: float, local: str | None = None
) -> Session:
    """Agree with the server at this IP address on an export; from the address `local`, if given.

    Raises NbdError, at the latest after `limit_s` seconds; each later read has that long, too.
    """
    name = export.encode()
    assert len(name) <= _NAME_BYTES, export
    wire = Wire(address, f"{_at(address, port)}/{export}", limit_s)
    async with wire.step():
        await wire.connect(port, local)
        await _greeted(wire)
        # NBD_OPT_STARTTLS would come here: what follows is the same inside
        asked = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)  # no special information
        await wire.send(_OPTION.pack(_OPTION_MAGIC, _OPTION_GO, len(asked)) + asked)
        size_bytes, flags = await _agreed(wire)
    return Session(wire, size_bytes, flags)


class Session:
    """An export that was agreed on: `size_bytes` long, of the server's `flags`; `async with` closes it."""

    def __init__(self, wire: Wire, size_bytes: int, flags: Flag) -> None:
        self._wire, self.size_bytes, self.flags = wire, size_bytes, flags
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

    def detach(self, *, user_timeout_ms: int) -> socket.socket:
        """The socket, blocking, ready for the kernel; the session is over, the caller closes the socket.

        What was sent and isn't acknowledged after `user_timeout_ms` ends the connection (tcp(7),
        TCP_USER_TIMEOUT). When its last user closes it, nothing that is still queued is sent any more
        (SO_LINGER): the kernel repeats unanswered requests on the next socket, and late first copies
        must not overwrite what was written after them.
        """
        sock = self._wire.release()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, user_timeout_ms)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.setblocking(True)
        return sock

    def close(self) -> None:
        """Leave; again is fine."""
        self._wire.close(_REQUEST.pack(_REQUEST_MAGIC, 0, _COMMAND_DISCONNECT, 0, 0, 0))

    async def _piece(self, offset: int, length: int) -> bytes:
        wire, self._cookie = self._wire, self._cookie + 1
        await wire.send(_REQUEST.pack(_REQUEST_MAGIC, 0, _COMMAND_READ, self._cookie, offset, length))
        magic, errno, cookie = _REPLY.unpack(await wire.exactly(_REPLY.size))
        if (magic, cookie) != (_REPLY_MAGIC, self._cookie):
            raise wire.error("the server sent something else than the answer to a read")
        if errno:  # the protocol's numbers are Linux's
            reason = f"can't read {length} bytes from {offset}: {os.strerror(errno)}"
            raise NbdError(wire.subject, reason, errno)
        return await wire.exactly(length)


def _at(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


async def _greeted(wire: Wire) -> None:
    """Take the server's greeting and answer it."""
    magic, option_magic, flags = _GREETING.unpack(await wire.exactly(_GREETING.size))
    if (magic, option_magic) != (_MAGIC, _OPTION_MAGIC):
        raise wire.error("this is no NBD server of the newstyle protocol")
    if not flags & _FIXED_NEWSTYLE:
        raise wire.error("the NBD server is too old for fixed newstyle negotiation")
    await wire.send(_CLIENT_FLAGS.pack(_FIXED_NEWSTYLE))


async def _agreed(wire: Wire) -> tuple[int, Flag]:
    """The export's size in bytes and its flags, from the answers to NBD_OPT_GO."""
    export: tuple[int, Flag] | None = None
    for _ in range(_OPTION_ANSWERS):
        kind, answer = await _answer(wire)
        if kind == _ACK:
            if export is None:
                raise wire.error("the server agreed without saying the export's size")
            return export
        if kind & _REFUSED:
            said = answer.decode(errors="replace")[:_SHOWN]
            raise wire.error(f"the server refused: {said!r} ({kind & ~_REFUSED})")
        if kind == _INFO and len(answer) >= _INFO_KIND.size:
            (about,) = _INFO_KIND.unpack_from(answer)
            if about == _INFO_EXPORT:
                export = _export(wire, answer)
    raise wire.error(f"the server gave {_OPTION_ANSWERS} answers and didn't come to an end")


async def _answer(wire: Wire) -> tuple[int, bytes]:
    """The type and the data of one answer to NBD_OPT_GO."""
    magic, option, kind, length = _OPTION_REPLY.unpack(await wire.exactly(_OPTION_REPLY.size))
    if (magic, option) != (_OPTION_REPLY_MAGIC, _OPTION_GO):
        raise wire.error("the server sent something else than the answer to an option")
    if length > _ANSWER_BYTES:
        raise wire.error(f"the server's answer is {length} bytes long; {_ANSWER_BYTES} are the most")
    return kind, await wire.exactly(length)


def _export(wire: Wire, answer: bytes) -> tuple[int, Flag]:
    if len(answer) != _EXPORT.size:
        raise wire.error(f"the server describes the export in {len(answer)} bytes instead of {_EXPORT.size}")
    _, size_bytes, flags = _EXPORT.unpack(answer)
    if size_bytes >= 1 << 63:
        raise wire.error(f"the server says that the export has {size_bytes} bytes")
    return size_bytes, Flag(flags)
