"""The server's side of the NBD protocol, as much of it as QEMU's client needs for one disk.

Source: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md (fixed newstyle negotiation,
simple replies). Raises EOFError when the client has gone, ValueError for what no client should say.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from enum import IntEnum

_NBDMAGIC, _IHAVEOPT, _REPLY = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_REQUEST, _SIMPLE_REPLY = 0x25609513, 0x67446698
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_OPT_ABORT, _OPT_GO = 2, 7
_REP_ACK, _REP_INFO, _REP_ERR_UNSUP = 1, 3, (1 << 31) + 1
_INFO_EXPORT = 0
_HAS_FLAGS, _SEND_FLUSH = 1, 4
LARGEST_BYTES = 32 * 1024 * 1024  # the protocol's own limit unless another one is agreed


class Command(IntEnum):
    """What a client may ask of this server."""

    READ = 0
    WRITE = 1
    DISCONNECT = 2
    FLUSH = 3


@dataclass(frozen=True)
class Request:
    """One request; `data` is what a WRITE brings."""

    command: Command
    cookie: int
    offset: int
    length: int
    data: bytes = b""


class Connection:
    """One client, from its first byte on."""

    def __init__(self, client: socket.socket, size_bytes: int) -> None:
        self._client = client
        self._size_bytes = size_bytes

    def negotiate(self) -> bool:
        """Agree on the export; False if the client went away in good order."""
        self._client.sendall(struct.pack(">QQH", _NBDMAGIC, _IHAVEOPT, _FIXED_NEWSTYLE | _NO_ZEROES))
        self._exactly(4)  # the client's flags: both of ours are known to every client since 2013
        while True:
            magic, option, length = struct.unpack(">QII", self._exactly(16))
            if magic != _IHAVEOPT or length > 4096:
                raise ValueError(f"not an option: {magic:#x}, {length} bytes")
            self._exactly(length)  # the export's name: there is one disk
            if option == _OPT_GO:
                flags = _HAS_FLAGS | _SEND_FLUSH
                info = struct.pack(">HQH", _INFO_EXPORT, self._size_bytes, flags)
                self._reply_to_option(option, _REP_INFO, info)
                self._reply_to_option(option, _REP_ACK)
                return True
            if option == _OPT_ABORT:
                self._reply_to_option(option, _REP_ACK)
                return False
            self._reply_to_option(option, _REP_ERR_UNSUP)

    def receive(self) -> Request:
        """The next request."""
        head = struct.unpack(">IHHQQI", self._exactly(28))
        magic, _flags, command, cookie, offset, length = head
        if magic != _REQUEST or length > LARGEST_BYTES or offset + length > self._size_bytes:
            raise ValueError(f"not a request: {head}")
        data = self._exactly(length) if command == Command.WRITE else b""
        return Request(Command(command), cookie, offset, length, data)

    def reply(self, request: Request, data: bytes = b"", *, error: int = 0) -> None:
        """Answer it, with what a READ read; `error` as in errno."""
        self._client.sendall(struct.pack(">IIQ", _SIMPLE_REPLY, error, request.cookie) + data)

    def _reply_to_option(self, option: int, kind: int, data: bytes = b"") -> None:
        self._client.sendall(struct.pack(">QIII", _REPLY, option, kind, len(data)) + data)

    def _exactly(self, length: int) -> bytes:
        data = bytearray(length)
        left = memoryview(data)
        while left:
            got = self._client.recv_into(left)
            if not got:
                raise EOFError
            left = left[got:]
        return bytes(data)
