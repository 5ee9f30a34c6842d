"""What people are told: the newest notices in memory, and the same in a bounded file.

Keeps: ids only go up, also over restarts; the event loop never waits for the disk; a file that
can't be written or read costs history and nothing else, and has all of it again once it can.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from agent.core.effects import Notice, Severity
from agent.core.ids import NodeId
from agent.runtime.disk import Disk

KEPT = 5_000  # notices
WRITE_EVERY_S = 0.5
RETRY_S = 10.0  # after a failure
DISK_LIMIT_S = 2.0
ID_GAP = 1_000  # after a restart: more than a crash can have kept from the file, but not from people

_log = logging.getLogger(__name__)
_LEVELS = {Severity.INFO: logging.INFO, Severity.WARNING: logging.WARNING, Severity.ALARM: logging.ERROR}


class LoggedNotice(msgspec.Struct, frozen=True):
    """A notice with its place in the log and the time on the wall."""

    id: int
    time: float  # seconds since the epoch
    node: NodeId
    notice: Notice


class NoticeLog:
    """The notices of this node."""

    def __init__(self, path: Path, node: NodeId) -> None:
        self._path, self._node = path, node
        self._kept: deque[LoggedNotice] = deque(maxlen=KEPT)
        self._next_id = 1
        self._unwritten: deque[LoggedNotice] = deque(maxlen=KEPT)
        self._lines_in_file = 0
        self._complaint = ""  # not empty: the file lacks something
        self._disk = Disk(DISK_LIMIT_S)
        self._one_at_a_time = asyncio.Lock()
        self.on_add: Callable[[], None] = lambda: None

    @property
    def last_id(self) -> int:
        """The next notice gets a higher one; 0 before the first."""
        return self._next_id - 1

    def add(self, notice: Notice) -> None:
        """Keep it, and say it in the service's log."""
        logged = LoggedNotice(self._next_id, time.time(), self._node, notice)
        self._next_id += 1
        self._kept.append(logged)
        self._unwritten.append(logged)
        about = " ".join(str(each) for each in (notice.hierarchy, notice.tag, notice.peer) if each)
        _log.log(_LEVELS[notice.severity], "%s%s: %s", notice.kind.value, about and f" {about}", notice.text)
        self.on_add()

    def newest(self, limit: int, after: int = 0) -> list[LoggedNotice]:
        """At most `limit`, oldest first; with `after` > 0 the next ones above that id."""
        if after:
            return [each for each in self._kept if each.id > after][:limit]
        return list(self._kept)[-limit:]

    def all(self) -> Iterator[LoggedNotice]:
        """Every notice kept, oldest first."""
        return iter(tuple(self._kept))

    async def load(self) -> None:
        """Take up what an earlier life of the agent wrote."""
        try:
            lines = await self._disk.do(self._read)
        except OSError as error:
            _log.warning("%s can't be read, so earlier events aren't shown: %s", self._path, error.strerror)
            self._next_id = int(time.time())  # above any that the file can hold
            return
        for line in lines:
            try:
                self._kept.append(msgspec.json.decode(line, type=LoggedNotice))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                continue  # cut off by a crash, or of another version: one line less of history
        self._lines_in_file = len(lines)
        self._next_id = max((each.id + ID_GAP for each in self._kept), default=1)

    async def run(self) -> None:
        """Write what was added, now and then, until cancelled."""
        while True:
            await asyncio.sleep(RETRY_S if self._complaint else WRITE_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what was added."""
        async with self._one_at_a_time:
            if self._unwritten or self._complaint:
                await self._flush()

    async def _flush(self) -> None:
        batch = list(self._unwritten)
        self._unwritten.clear()
        anew = bool(self._complaint) or self._lines_in_file + len(batch) > 2 * KEPT
        notices = list(self._kept) if anew else batch
        try:
            await self._disk.do(lambda: self._write(notices, anew=anew))
        except OSError as error:
            if (why := str(error.strerror)) != self._complaint:
                _log.warning("%s: events are kept in memory only: %s", self._path, why)
            self._complaint = why
            return
        self._complaint = ""
        self._lines_in_file = len(notices) + (0 if anew else self._lines_in_file)

    def _read(self) -> list[bytes]:
        if not self._path.exists():
            return []
        return self._path.read_bytes().splitlines()

    def _write(self, notices: list[LoggedNotice], *, anew: bool) -> None:
        path = self._path.with_suffix(".new") if anew else self._path
        kind = os.O_TRUNC if anew else os.O_APPEND
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | kind, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(b"".join(msgspec.json.encode(each) + b"\n" for each in notices))
        if anew:
            path.replace(self._path)
