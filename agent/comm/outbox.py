"""What waits to be said to one peer over TCP, and the saying of it.

Each letter is acknowledged by the peer before the next is sent. A letter that isn't acknowledged is said
once more by the next-best comm path, all within `dead_after` of its being put here; the peer knows a
repeated one by its id. Reports don't queue: only the newest is worth sending.

Invariants: bounded queue, bounded time for everything, at most one connection, and none while there is
nothing to say.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from agent.comm.channel import MAX_FRAME_BYTES, Channel
from agent.comm.codec import encode_letter
from agent.comm.counters import Tally, Trouble
from agent.comm.wire import TAG_BYTES, BadDatagram, Reason
from agent.core.ids import Instant, PathId, later
from agent.core.messages import Message, Report

MAX_WAITING = 64  # messages to one peer
IDLE_S = 10.0  # a connection with nothing to say is closed; the peer waits longer (agent.comm.inbox)
ACK_BYTES = 8


class Outbox:
    """Letters to one peer."""

    def __init__(
        self,
        dial: Callable[[PathId], Awaitable[Channel]],
        routes: Callable[[], list[PathId]],  # comm paths that are up, best first
        clock_ms: Callable[[], Instant],
        within_ms: int,
        tally: Tally,
    ) -> None:
        self._dial, self._routes, self._clock_ms = dial, routes, clock_ms
        self._within_ms, self._tally = within_ms, tally
        self._messages: deque[tuple[Message, Instant]] = deque()
        self._report: Report | None = None
        self._filled = asyncio.Event()
        self._channel: tuple[PathId, Channel] | None = None
        self._letters = 0

    def put(self, message: Message) -> None:
        """Say this as soon as possible; counted and lost if too many wait already."""
        if len(self._messages) >= MAX_WAITING:
            self._tally.drop(Trouble.QUEUE_FULL)
            return
        self._messages.append((message, self._deadline()))
        self._filled.set()

    def put_report(self, report: Report) -> None:
        """Say this as soon as possible, and not the report that waited before it."""
        self._report = report
        self._filled.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                await self._wait()
                if self._report is not None:
                    report, self._report = self._report, None
                    await self._deliver(report, self._deadline())
                elif self._messages:
                    await self._deliver(*self._messages.popleft())
                else:
                    self._filled.clear()
        finally:
            self.hang_up()

    async def _wait(self) -> None:
        if self._channel is None:
            await self._filled.wait()
            return
        try:
            async with asyncio.timeout(IDLE_S):
                await self._filled.wait()
        except TimeoutError:
            self.hang_up()

    async def _deliver(self, content: Report | Message, deadline: Instant) -> None:
        self._letters += 1
        letter = encode_letter(self._letters, content)
        if len(letter) > MAX_FRAME_BYTES - TAG_BYTES:
            self._tally.drop(Trouble.TOO_LONG)
            return
        tried: PathId | None = None
        for left in (2, 1):  # tries left: each gets its share of the time left
            routes = self._routes()
            if not routes:
                self._tally.drop(Trouble.NO_PATH)
                return
            path = next((route for route in routes if route != tried), routes[0])
            limit_s = (deadline - self._clock_ms()) / 1_000 / left
            if limit_s > 0 and await self._say(path, letter, limit_s):
                return
            tried = path
        self._tally.drop(Trouble.UNDELIVERED)

    async def _say(self, path: PathId, letter: bytes, limit_s: float) -> bool:
        """Whether the peer acknowledged it; if not, the connection is gone too."""
        try:
            async with asyncio.timeout(limit_s):
                channel = await self._channel_on(path)
                await channel.send(letter)
                if await channel.receive() != self._letters.to_bytes(ACK_BYTES, "big"):
                    raise BadDatagram(Reason.BODY)
        except (OSError, EOFError):  # TimeoutError is an OSError
            self.hang_up()
            return False
        except BadDatagram as bad:
            self._tally.drop(bad.reason)
            self.hang_up()
            return False
        return True

    async def _channel_on(self, path: PathId) -> Channel:
        if self._channel is not None:
            its_path, channel = self._channel
            if its_path == path and not channel.is_over():
                return channel
            self.hang_up()
        channel = await self._dial(path)
        self._channel = path, channel
        return channel

    def hang_up(self) -> None:
        """End the connection; a letter that wasn't acknowledged is said once more."""
        if self._channel is not None:
            self._channel[1].close()
            self._channel = None

    def _deadline(self) -> Instant:
        return later(self._clock_ms(), self._within_ms)
