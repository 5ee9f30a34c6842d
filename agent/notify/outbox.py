"""What one destination is still to be told, and telling it.

Keeps:
- one message at a time, in the order of the log; the next one only after the one before was taken;
- what was taken is written down afterwards, so that a restart goes on there: at least once, never past one;
- the log's bound is the backlog's: what falls out of it unsent is said in its place;
- a try that failed is repeated for ever, less and less often, and holds up nobody but this destination.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from typing import Protocol

from agent.core.effects import Kind, Notice, Severity
from agent.notify.contract import Destination, NotSent
from agent.notify.message import Logged, Message, dropped_message, message_of
from agent.notify.position import Damaged, Position

LONGEST_PAUSE_S = 300.0
TELL_AFTER_S = 60.0  # of failing: then people are told by the other destinations
WRITE_EVERY = 500  # ids, where nothing of it was for this destination

_log = logging.getLogger(__name__)

Tell = Callable[[Kind, Severity, str], None]


class Source(Protocol):
    """This node's log of notices, as far as it is kept."""

    @property
    def last_id(self) -> int:
        """The next notice gets a higher one; 0 before the first."""

    def all(self) -> Iterable[Logged]:
        """Every notice kept, oldest first."""


class Outbox:
    """One destination's; `run` it."""

    def __init__(
        self,
        name: str,
        destination: Destination,
        wants: Callable[[Notice], bool],
        source: Source,
        position: Position,
        cluster: str,
        node: str,
        tell: Tell,
    ) -> None:
        self._name, self._destination, self._wants, self._source = name, destination, wants, source
        self._position, self._cluster, self._node, self._tell = position, cluster, node, tell
        self._from = source.last_id  # where a new destination begins, and
        self._newest = max((each.id for each in source.all()), default=0)  # what an earlier life could tell
        self._wake = asyncio.Event()
        self._at = self._written = 0  # ids: seen to, and known on disk to be
        self._unknown_before = 0  # not 0: nobody knows what was sent of what has a lower id
        self._disk_fails = self._told = False
        self._failing_since: float | None = None

    def wake(self) -> None:
        """There is something new in the log."""
        self._wake.set()

    async def run(self) -> None:
        """Send what there is and what comes, until cancelled."""
        await self._until_it_works(self._begin)
        await self._destination.warm_up()
        while True:
            self._wake.clear()
            await self._until_it_works(self._send_all)
            await self._wake.wait()

    async def _until_it_works(self, work: Callable[[], Awaitable[bool]]) -> None:
        tries = 0
        while not await work():
            tries += 1
            await asyncio.sleep(pause_s(tries))

    async def _begin(self) -> bool:
        """Find out where an earlier life got to; a destination that is new begins with what comes now."""
        try:
            known = await self._position.read()
        except Damaged as error:
            _log.warning("%s", error)
            known, self._unknown_before = None, self._from + 1
        except OSError as error:
            _log.warning("%s: %s: %s", self._name, self._position.path, error.strerror)
            return False
        # Ids jump at a restart. Who had been told everything goes on behind the gap: nothing was in it.
        self._at = self._from if known is None or known >= self._newest else known
        if known != self._at:
            await self._write()
        else:
            self._written = known
        return True

    async def _send_all(self) -> bool:
        """Send what there is, and say whether all of it was taken."""
        for sent_id, message in self._due():
            if message is not None:
                if not await self._try(message):
                    return False
                self._unknown_before = 0
            self._at = sent_id
            if message is not None or self._at - self._written >= WRITE_EVERY:
                await self._write()
        return True

    def _due(self) -> Iterator[tuple[int, Message | None]]:
        """Every id above where we are, with what is sent for it: None for what isn't for this destination."""
        kept = tuple(self._source.all())
        first = bisect_right(kept, self._at, key=lambda each: each.id)
        if self._unknown_before:
            text = f"nobody knows which of the notices before no. {self._unknown_before} were sent"
            yield self._at, dropped_message(self._node, self._cluster, self._at, text)
        elif first == 0 and kept and kept[0].id > self._at + 1:
            last = kept[0].id - 1
            text = f"up to {last - self._at} notices were dropped: those from no. {self._at + 1} to {last}"
            yield last, dropped_message(self._node, self._cluster, last, text)
        for logged in kept[first:]:
            yield logged.id, message_of(logged, self._cluster) if self._wants(logged.notice) else None

    async def _try(self, message: Message) -> bool:
        try:
            await self._destination.send(message)
        except NotSent as error:
            self._failed(str(error))
            return False
        except Exception as defect:  # noqa: BLE001 (telling people must never end what it tells about)
            _log.exception("%s: a defect of the agent", self._name)
            self._failed(f"a defect of the agent: {type(defect).__name__}")
            return False
        self._worked()
        return True

    def _failed(self, why: str) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            _log.warning("notices wait for %s: %s", self._name, why)
        elif not self._told and now - self._failing_since >= TELL_AFTER_S:
            self._told = True
            self._tell(Kind.DESTINATION_FAILED, Severity.WARNING, f"{self._name}: {why}")

    def _worked(self) -> None:
        if self._failing_since is not None:
            _log.info("%s takes notices again", self._name)
        if self._told:
            self._tell(Kind.DESTINATION_MENDED, Severity.INFO, f"{self._name} takes notices again")
        self._failing_since, self._told = None, False

    async def _write(self) -> None:
        """Write down where we are; without a disk what was sent since is sent again after a restart."""
        try:
            await _to_its_end(self._position.write(self._at))
        except OSError as error:
            if not self._disk_fails:
                _log.warning("%s: %s", self._position.path, error.strerror)
            self._disk_fails = True
        else:
            self._disk_fails, self._written = False, self._at


async def _to_its_end(write: Coroutine[None, None, None]) -> None:
    """Also when cancelled: what isn't written down is sent again. The disk has a limit of its own."""
    writing = asyncio.ensure_future(write)
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        if not writing.cancelled() and (error := writing.exception()) is not None:
            _log.warning("a position isn't written: %s", error)
        raise


def pause_s(tries: int) -> float:
    """How long to wait after so many failures in a row, never the same for two destinations."""
    longest = min(2.0 ** min(tries - 1, 20), LONGEST_PAUSE_S)
    return longest * random.uniform(0.5, 1.0)  # nosec B311  # noqa: S311 (no secret)
