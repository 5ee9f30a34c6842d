"""A connection whose target may be behind: writes and flushes are answered at once, and sent in their order.

Keeps:
- the target's disk is always one that the source's could be after a power cut: what was accepted after a
  flush is sent when the target has made durable what came before it;
- what is answered and isn't durable there has a bound (`Backlog`); at the bound, answers wait;
- a read comes after everything that was written before it;
- when the kernel lets go everything is still sent; then the report says "drained", and never else.
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.relay.backlog import Backlog, Bound, Record, Report, clock_ms
from recovery_kits.mirror.relay.dial import Stream

_REQUEST = struct.Struct(">IHHQQI")  # magic, flags, command, cookie, offset, length
_REPLY = struct.Struct(">IIQ")  # magic, errno, cookie
_REQUEST_MAGIC, _REPLY_MAGIC = 0x25609513, 0x67446698
_FUA = 1
_LARGEST_BYTES = 32 << 20  # of one request, by the protocol
_EPOCHS = 8  # so many fit in the bound: an epoch without a flush ends there
_REPORT_S = 0.25


class Command(IntEnum):
    """What the kernel asks."""

    READ = 0
    WRITE = 1
    DISCONNECT = 2
    FLUSH = 3


@dataclass(frozen=True)
class Request:
    """One request of the kernel's, in its place in the order."""

    command: Command
    cookie: int
    offset: int = 0
    length: int = 0
    data: bytes = b""
    durable: bool = False  # a flush comes right after it


_END_OF_EPOCH = Request(Command.FLUSH, 0)


class Behind:
    """One connection, from the first request to the end."""

    def __init__(self, kernel: Stream, target: Stream, bound: Bound, record: Record, report: Path) -> None:
        self._kernel, self._target = kernel, target
        self._backlog, self._epoch_bytes = Backlog(bound, record), bound.most_bytes // _EPOCHS
        self._report_path = report
        self._queue = deque[Request]()
        self._more, self._room = asyncio.Event(), asyncio.Event()
        self._letting_go = False  # the kernel has: what is queued is all there is

    async def carry(self) -> str:
        """Until the target has failed, or the kernel has let go and everything is sent; why it failed."""
        taking, sending, telling = (
            asyncio.create_task(each) for each in (self._take(), self._send(), self._tell())
        )
        try:
            await asyncio.wait({taking, sending, telling}, return_when=asyncio.FIRST_COMPLETED)
            self._letting_go = True
            self._more.set()
            if taking.done():
                await asyncio.wait({sending, telling}, return_when=asyncio.FIRST_COMPLETED)
            for each in (sending, telling):
                if each.done():
                    each.result()
        except (NbdError, OSError) as error:
            return f"{self._backlog.bytes} bytes aren't at the target: {error}"
        finally:
            for each in (taking, sending, telling):
                each.cancel()
        assert self._backlog.bytes == 0
        self._report(drained=True)
        return ""

    async def _take(self) -> None:
        """Requests from the kernel, until it lets go; with a word or without, it is the same to us."""
        try:
            while (request := await self._request()).command is not Command.DISCONNECT:
                if request.command is Command.READ:
                    self._put(request)
                    continue
                while not self._backlog.has_room(request.length, clock_ms()):
                    self._room.clear()
                    await self._room.wait()
                if request.command is Command.WRITE:
                    self._backlog.accept(request.offset, request.length, clock_ms())
                self._put(request)
                if request.durable:
                    self._put(_END_OF_EPOCH)
                await self._kernel.send(_REPLY.pack(_REPLY_MAGIC, 0, request.cookie))
        except (NbdError, OSError):
            return

    async def _request(self) -> Request:
        head = _REQUEST.unpack(await self._kernel.exactly(_REQUEST.size))
        magic, flags, command, cookie, offset, length = head
        if magic != _REQUEST_MAGIC or length > _LARGEST_BYTES or command not in set(Command):
            raise self._kernel.error(f"that is no request: {head}")
        if command != Command.WRITE:
            length = length if command == Command.READ else 0
            return Request(Command(command), cookie, offset, length)
        data = await self._kernel.exactly(length)
        return Request(Command.WRITE, cookie, offset, length, data, bool(flags & _FUA))

    def _put(self, request: Request) -> None:
        self._queue.append(request)
        self._more.set()

    async def _send(self) -> None:
        """What is queued, until the kernel has let go and nothing is left."""
        while True:
            while not self._queue:
                if self._letting_go:
                    return
                self._more.clear()
                await self._more.wait()
            if epoch := self._epoch():
                await self._make_durable(epoch)
                self._backlog.confirm(len(epoch))
                self._room.set()
                continue
            request = self._queue.popleft()
            if request.command is Command.READ:
                await self._read(request)

    def _epoch(self) -> list[Request]:
        """The writes that come next and may reach the target's disk in any order."""
        epoch, size = list[Request](), 0
        while self._queue and self._queue[0].command is Command.WRITE and size < self._epoch_bytes:
            epoch.append(self._queue.popleft())
            size += epoch[-1].length
        return epoch

    async def _make_durable(self, epoch: list[Request]) -> None:
        """A flush is for what was answered: it is sent when all is."""
        for number, write in enumerate(epoch):
            await self._ask(Command.WRITE, number, write.offset, write.length, write.data)
        for _ in epoch:
            await self._answer()
        await self._ask(Command.FLUSH, len(epoch), 0, 0)
        await self._answer()

    async def _read(self, request: Request) -> None:
        await self._ask(Command.READ, 0, request.offset, request.length)
        await self._answer()
        data = await self._target.exactly(request.length)
        await self._kernel.send(_REPLY.pack(_REPLY_MAGIC, 0, request.cookie) + data)

    async def _ask(self, command: Command, cookie: int, offset: int, length: int, data: bytes = b"") -> None:
        await self._target.send(_REQUEST.pack(_REQUEST_MAGIC, 0, command, cookie, offset, length) + data)

    async def _answer(self) -> None:
        magic, number, _ = _REPLY.unpack(await self._target.exactly(_REPLY.size))
        if magic != _REPLY_MAGIC:
            raise self._target.error("the server sent something else than an answer")
        if number:
            raise self._target.error(f"the target's disk: {os.strerror(number)}")

    async def _tell(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(_REPORT_S)

    def _report(self, *, drained: bool = False) -> None:
        now = clock_ms()
        Report(now, self._backlog.bytes, self._backlog.oldest_ms(now), drained).write(self._report_path)
