"""What people are told: the newest notices in memory, and the same in a bounded file.

Keeps: ids only go up, also over restarts; the event loop never waits for the disk; a file that
can't be written or read costs history and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.core.effects import Notice, Severity
from agent.core.ids import NodeId

KEPT = 5_000  # notices
WRITE_EVERY_S = 0.5

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
        self._broken = ""

    def add(self, notice: Notice) -> None:
        """Keep it, and say it in the service's log."""
        logged = LoggedNotice(self._next_id, time.time(), self._node, notice)
        self._next_id += 1
        self._kept.append(logged)
        self._unwritten.append(logged)
        about = " ".join(str(each) for each in (notice.hierarchy, notice.tag, notice.peer) if each)
        _log.log(_LEVELS[notice.severity], "%s%s: %s", notice.kind.value, about and f" {about}", notice.text)

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
            lines = await asyncio.to_thread(self._read)
        except OSError as error:
            self._complain(error)
            return
        for line in lines:
            try:
                self._kept.append(msgspec.json.decode(line, type=LoggedNotice))
            except msgspec.MsgspecError:
                continue  # cut off by a crash, or of another version: one line less of history
        self._lines_in_file = len(lines)
        self._next_id = max((each.id for each in self._kept), default=0) + 1

    async def run(self) -> None:
        """Write what was added, now and then, until cancelled."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what was added."""
        if not self._unwritten:
            return
        batch = list(self._unwritten)
        self._unwritten.clear()
        anew = self._lines_in_file + len(batch) > 2 * KEPT
        lines = [msgspec.json.encode(each) for each in (self._kept if anew else batch)]
        try:
            await asyncio.to_thread(self._write, lines, anew=anew)
        except OSError as error:
            self._complain(error)
            return
        self._broken = ""
        self._lines_in_file = len(lines) if anew else self._lines_in_file + len(lines)

    def _read(self) -> list[bytes]:
        if not self._path.exists():
            return []
        return self._path.read_bytes().splitlines()

    def _write(self, lines: list[bytes], *, anew: bool) -> None:
        content = b"".join(line + b"\n" for line in lines)
        if not anew:
            with self._path.open("ab") as file:
                file.write(content)
            return
        beside = self._path.with_suffix(".new")
        beside.write_bytes(content)
        beside.replace(self._path)

    def _complain(self, error: OSError) -> None:
        if str(error) != self._broken:
            self._broken = str(error)
            _log.warning("%s: events are kept in memory only: %s", self._path, error)
