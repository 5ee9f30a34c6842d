"""Generic netlink, as much of it as nbd needs: one request, its answers, and groups of events.

Everything here blocks until the kernel has done what was asked: call it in a thread.
Source: include/uapi/linux/netlink.h and genetlink.h; Documentation/userspace-api/netlink/intro.rst.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_GENERIC = 16  # the netlink protocol
_ERROR = 2  # message type; also the acknowledgement, with errno 0
_REQUEST_AND_ACKNOWLEDGE = 1 | 4
_CONTROL_FAMILY, _GET_FAMILY = 16, 3
_FAMILY_ID, _FAMILY_NAME, _FAMILY_GROUPS = 1, 2, 7
_GROUP_NAME, _GROUP_ID = 1, 2
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_NESTED, _KIND = 0x8000, 0x3FFF
_MESSAGE_BYTES = 65_536
_ANSWER_S = 10.0  # the answer is there when the request has been taken; a lost one must not hang

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_GENERIC_HEADER = struct.Struct("=BBH")  # command, version, reserved
_ATTRIBUTE = struct.Struct("=HH")  # length with this header, kind
_ERRNO = struct.Struct("=i")
_U16, _U32, _U64 = struct.Struct("=H"), struct.Struct("=I"), struct.Struct("=Q")


@dataclass(frozen=True)
class Family:
    """A family of commands, and its groups of events by name."""

    number: int
    groups: dict[str, int]


@dataclass(frozen=True)
class Message:
    """An answer or an event: its command and its attributes by kind."""

    command: int
    attributes: dict[int, bytes]


def family(name: str) -> Family:
    """Look a family up; raises FileNotFoundError when the kernel hasn't it (its module isn't loaded)."""
    asked = attribute(_FAMILY_NAME, name.encode() + b"\0")
    (found,) = ask(Family(_CONTROL_FAMILY, {}), _GET_FAMILY, asked)
    groups = [dict(attributes(each)) for _, each in attributes(found.attributes.get(_FAMILY_GROUPS, b""))]
    (number,) = _U16.unpack(found.attributes[_FAMILY_ID])
    return Family(number, {text(each[_GROUP_NAME]): as_u32(each[_GROUP_ID]) for each in groups})


def ask(of: Family, command: int, payload: bytes) -> list[Message]:
    """Have the kernel do a command; its answers. Raises OSError with the kernel's errno."""
    with _socket() as sock:
        sock.settimeout(_ANSWER_S)
        body = _GENERIC_HEADER.pack(command, 1, 0) + payload
        header = _HEADER.pack(_HEADER.size + len(body), of.number, _REQUEST_AND_ACKNOWLEDGE, 1, 0)
        sock.send(header + body)  # the kernel acts in this call
        answers = list[Message]()
        while True:
            for kind, content in _messages(sock.recv(_MESSAGE_BYTES)):
                if kind != _ERROR:
                    answers.append(message(content))
                    continue
                (code,) = _ERRNO.unpack_from(content)
                if code:
                    raise OSError(-code, os.strerror(-code))
                return answers


def listener(of: Family, group: str) -> socket.socket:
    """A non-blocking socket that gets a group's events from now on; `events` takes them apart."""
    if group not in of.groups:
        raise OSError(errno.ENOENT, f"the kernel has no group of events {group}")
    sock = _socket()
    sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, of.groups[group])
    sock.setblocking(False)
    return sock


def events(data: bytes) -> list[Message]:
    """What one `recv` of a listener brought."""
    return [message(content) for kind, content in _messages(data) if kind != _ERROR]


def message(content: bytes) -> Message:
    """Take a message apart; of attributes of one kind the last one counts."""
    command, _, _ = _GENERIC_HEADER.unpack_from(content)
    return Message(command, dict(attributes(content[_GENERIC_HEADER.size :])))


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The attributes in a message or in a nested one: their kinds and contents."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if not _ATTRIBUTE.size <= length <= len(data) - offset:
            raise OSError(errno.EBADMSG, f"an attribute of {length} bytes in a message of {len(data)}")
        yield kind & _KIND, data[offset + _ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def attribute(kind: int, content: bytes) -> bytes:
    """One attribute, padded."""
    length = _ATTRIBUTE.size + len(content)
    return _ATTRIBUTE.pack(length, kind) + content + bytes(_aligned(length) - length)


def nested(kind: int, content: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | _NESTED, content)


def u32(kind: int, number: int) -> bytes:
    """An attribute with 32 bits."""
    return attribute(kind, _U32.pack(number))


def u64(kind: int, number: int) -> bytes:
    """An attribute with 64 bits."""
    return attribute(kind, _U64.pack(number))


def as_u32(content: bytes) -> int:
    """The number in an attribute with 32 bits."""
    number: int = _U32.unpack(content)[0]
    return number


def text(content: bytes) -> str:
    """The text in an attribute, without the zero at its end."""
    return content.rstrip(b"\0").decode()


def _socket() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _GENERIC)
    sock.bind((0, 0))
    return sock


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The types and the contents of the messages in what was received."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        if not _HEADER.size <= length <= len(data) - offset:
            raise OSError(errno.EBADMSG, f"a message of {length} bytes in {len(data)} received ones")
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += _aligned(length)


def _aligned(length: int) -> int:
    return (length + 3) & ~3
