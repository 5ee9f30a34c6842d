"""The kernel's nbd devices: give one a negotiated socket, give it another, take it away, hear of its death.

Needs root (CAP_SYS_ADMIN, in the initial user namespace), Linux 5.14 or newer, and the nbd module
loaded (with nbds_max=0: devices are made as they are needed). Facts the kernel's interface has:
- every device gets an identifier, by which an agent that restarted finds it again: `find`;
- a new socket is taken only once the kernel knows that the old one is dead: `DeadLinks` tells;
- `connected` says that the device is set up or held open, also when its socket is dead;
- a device that is held open (by md) keeps its identifier after `disconnect`, until it is let go.

All requests are made in threads, because one that hangs in the kernel holds up the others.
Source: include/uapi/linux/nbd-netlink.h, drivers/block/nbd.c.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from recovery_kits.mirror import genetlink
from recovery_kits.mirror.genetlink import Message, attribute, attributes, nested, u32, u64
from recovery_kits.mirror.nbd import Flag, NbdError

_FAMILY, _EVENTS = "nbd", "nbd_mc_group"
_CONNECT, _DISCONNECT, _RECONFIGURE, _LINK_DEAD, _STATUS = 1, 2, 3, 4, 5
_INDEX, _SIZE_BYTES, _BLOCK_SIZE_BYTES, _TIMEOUT_S, _SERVER_FLAGS = 1, 2, 3, 4, 5
_SOCKETS, _DEAD_TIMEOUT_S, _DEVICES, _IDENTIFIER = 7, 8, 9, 10
_SOCKET, _SOCKET_FD = 1, 1
_DEVICE_INDEX, _DEVICE_CONNECTED = 1, 2
_USED_FLAGS = Flag.HAS_FLAGS | Flag.READ_ONLY | Flag.FLUSH | Flag.FUA
_TIMEVAL_BYTES = 16
_BLOCK_DEVICES = Path("/sys/block")
_EVENT_BYTES = 65_536

T = TypeVar("T")


async def connect(
    sock: socket.socket,
    size_bytes: int,
    flags: Flag,
    *,
    identifier: str,
    request_timeout_s: int,
    dead_connection_timeout_s: int,
    index: int | None = None,
    block_bytes: int = 512,
    limit_s: float = 10.0,
) -> int:
    """Make a device of a socket from `Session.detach`; its index. The caller closes the socket.

    A request unanswered after `request_timeout_s` makes the link dead, requests then wait for another
    socket for `dead_connection_timeout_s` before they fail. Without an index a free device is taken.
    Raises NbdError; out of time, the device may yet come: `find` it.
    """
    assert request_timeout_s > 0, "without it a dead link is noticed after a minute or never"
    asked = b"" if index is None else u32(_INDEX, index)
    asked += u64(_SIZE_BYTES, size_bytes) + u64(_BLOCK_SIZE_BYTES, block_bytes)
    asked += u64(_TIMEOUT_S, request_timeout_s) + u64(_DEAD_TIMEOUT_S, dead_connection_timeout_s)
    asked += u64(_SERVER_FLAGS, flags & _USED_FLAGS) + _identified(identifier)
    what = f"nbd {identifier}: connect"
    answers, _ = await _within(limit_s, what, lambda: _with_socket(_CONNECT, asked, sock))
    return genetlink.as_u32(answers[0].attributes[_INDEX])


async def reconfigure(index: int, sock: socket.socket, *, identifier: str, limit_s: float = 10.0) -> None:
    """Give a device whose link is dead another socket; waiting requests go on. The caller closes it.

    Raises NbdError, with EALREADY when the kernel doesn't know yet that the old link is dead.
    """
    what = f"nbd{index}: reconfigure"
    asked = u32(_INDEX, index) + _identified(identifier)
    _, taken = await _within(limit_s, what, lambda: _with_socket(_RECONFIGURE, asked, sock))
    if not taken:
        raise NbdError(what, "the kernel doesn't take the link for dead yet", errno.EALREADY)


async def disconnect(index: int, *, limit_s: float = 30.0) -> None:
    """Take the link away; requests that wait fail. Nothing to take away is success. Raises NbdError."""
    what = f"nbd{index}: disconnect"
    await _within(limit_s, what, lambda: _ask(_DISCONNECT, u32(_INDEX, index)))


async def connected(index: int, *, limit_s: float = 10.0) -> bool | None:
    """Whether the device is set up (its link may be dead) or held open; None: no such device."""
    what = f"nbd{index}: status"
    (answer,) = await _within(limit_s, what, lambda: _ask(_STATUS, u32(_INDEX, index)))
    for _, device in attributes(answer.attributes.get(_DEVICES, b"")):
        return dict(attributes(device))[_DEVICE_CONNECTED] != b"\0"
    return None


def find(identifier: str) -> int | None:
    """The index of the device that was connected with this identifier. Raises NbdError if there are two."""
    found = [
        int(file.parent.name.removeprefix("nbd"))
        for file in _BLOCK_DEVICES.glob("nbd*/backend")
        if _first_line(file) == identifier
    ]
    if len(found) > 1:
        raise NbdError(f"nbd {identifier}", f"several devices are connected to it: {sorted(found)}")
    return found[0] if found else None


class DeadLinks:
    """Tells which devices' links die, from `listen` on. A context manager; `next` is for one task."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._heard = sock, list[int]()

    @classmethod
    async def listen(cls, *, limit_s: float = 10.0) -> DeadLinks:
        """Begin to listen. Raises NbdError."""

        def subscribe() -> socket.socket:
            return genetlink.listener(genetlink.family(_FAMILY), _EVENTS)

        return cls(await _within(limit_s, "nbd: listen for dead links", subscribe))

    def __enter__(self) -> DeadLinks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sock.close()

    async def next(self) -> int:
        """The index of the next device whose link is dead; waits as long as it takes.

        Raises NbdError with ENOBUFS when the kernel had to drop some: any link may be dead then.
        """
        while not self._heard:
            try:
                data = await asyncio.get_running_loop().sock_recv(self._sock, _EVENT_BYTES)
            except OSError as error:
                raise _error("nbd: listen for dead links", error) from error
            for event in genetlink.events(data):
                if event.command == _LINK_DEAD:
                    self._heard.append(genetlink.as_u32(event.attributes[_INDEX]))
        return self._heard.pop(0)


async def _within(limit_s: float, what: str, request: Callable[[], T]) -> T:
    """Make a request in a thread; it isn't waited for any longer than this."""
    try:
        async with asyncio.timeout(limit_s):
            return await asyncio.to_thread(request)
    except TimeoutError:
        raise NbdError(what, f"the kernel hasn't done it within {limit_s:g} s", errno.ETIMEDOUT) from None
    except OSError as error:
        raise _error(what, error) from error


def _ask(command: int, payload: bytes) -> list[Message]:
    return genetlink.ask(genetlink.family(_FAMILY), command, payload)


def _with_socket(command: int, payload: bytes, sock: socket.socket) -> tuple[list[Message], bool]:
    """The answers, and whether the kernel took the socket: it sets the limit for sending on those it takes.

    The socket is this thread's own meanwhile: its number would be another file's if the caller gave up.
    """
    with sock.dup() as own:
        given = nested(_SOCKETS, nested(_SOCKET, u32(_SOCKET_FD, own.fileno())))
        answers = _ask(command, payload + given)
        taken = any(own.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL_BYTES))
    return answers, taken


def _identified(identifier: str) -> bytes:
    return attribute(_IDENTIFIER, identifier.encode() + b"\0")


def _first_line(file: Path) -> str | None:
    try:
        return file.read_text().rstrip("\n")
    except OSError:  # just disconnected
        return None


def _error(what: str, error: OSError) -> NbdError:
    number = error.errno or 0
    if number == errno.ENOENT:
        return NbdError(what, "the kernel has no nbd: load its module (modprobe nbd nbds_max=0)", number)
    return NbdError(what, error.strerror or os.strerror(number), number)
