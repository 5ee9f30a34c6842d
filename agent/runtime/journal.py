"""Every event the core was given, in bounded files, so that an incident can be walked through again.

Keeps: each file begins with everything the node knew at that point, so each can be replayed alone, and
has no gap; at most `KEPT` files of about `FILE_BYTES`; the event loop never waits for the disk. What
can't be written is dropped and said; once it can be, a new file begins.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path

from agent.core.effects import Effect
from agent.core.events import Event
from agent.core.state import NodeState
from agent.runtime.codec import encode_entry, encode_header

FILE_BYTES = 8 * 1024 * 1024
KEPT = 4
WRITE_EVERY_S = 1.0
RETRY_S = 60.0  # after a failure
_WAITING = 10_000  # lines
_NEW_FILE = b"\n"  # before a header, which no line of JSON begins with

_log = logging.getLogger(__name__)


class Journal:
    """journal-0.jsonl is being written; higher numbers are older."""

    def __init__(
        self, directory: Path, version: str, *, file_bytes: int = FILE_BYTES, retry_s: float = RETRY_S
    ) -> None:
        self._directory, self._version = directory, version
        self._file_bytes, self._retry_s = file_bytes, retry_s
        self._lines: queue.Queue[bytes] = queue.Queue(_WAITING)
        self._written, self._fresh = 0, True  # since the last header; whether the next one is due
        self._fresh_from = 0.0  # monotonic seconds: not before
        self._dropped = 0
        self._complaint = ""
        self._ending = threading.Event()
        self._writer = threading.Thread(target=self._write, name="journal", daemon=True)
        self._writer.start()

    def before(self, state: NodeState) -> None:
        """Call before each step: begins a new file with `state` when it is time for one."""
        due = time.monotonic() >= self._fresh_from if self._fresh else self._written > self._file_bytes
        if due:
            self._fresh, self._written = False, 0
            self._put(_NEW_FILE + encode_header(self._version, state))

    def after(self, event: Event, effects: Sequence[Effect]) -> None:
        """Call after each step."""
        if self._fresh:  # a file with a gap couldn't be replayed beyond it
            self._dropped += 1
        else:
            self._put(encode_entry(event, effects))

    def close(self) -> None:
        """Write what waits, for a second at most."""
        self._ending.set()
        self._writer.join(1.0)

    def _put(self, line: bytes) -> None:
        self._written += len(line) + 1
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1
            self._fresh = True

    def _write(self) -> None:
        file: BufferedWriter | None = None
        ending = False
        while not ending:
            ending = self._ending.wait(WRITE_EVERY_S)
            try:
                file = self._write_what_waits(file)
            except OSError as error:
                self._complain(error)
                self._fresh_from, self._fresh = time.monotonic() + self._retry_s, True
                _close(file)
                file = None
        _close(file)

    def _write_what_waits(self, file: BufferedWriter | None) -> BufferedWriter | None:
        for _ in range(self._lines.qsize()):
            line = self._lines.get_nowait()
            if line.startswith(_NEW_FILE):
                _close(file)
                file = self._begin(line.removeprefix(_NEW_FILE))
            elif file is not None:
                file.write(line + b"\n")
        if file is not None:
            file.flush()
        return file

    def _begin(self, header: bytes) -> BufferedWriter:
        """The next file; older ones make room only once its header is written."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._directory / "journal.new"
        file = open(beside, "wb", opener=_private)  # noqa: SIM115 (Path.open takes no opener; kept open)
        try:
            file.write(header + b"\n")
            file.flush()
            for number in reversed(range(KEPT - 1)):
                path = self._directory / f"journal-{number}.jsonl"
                if path.exists():
                    path.replace(self._directory / f"journal-{number + 1}.jsonl")
            beside.replace(self._directory / "journal-0.jsonl")
        except OSError:
            _close(file)
            raise
        if self._dropped:
            _log.warning("the event journal lacks %d events before this", self._dropped)
        self._dropped, self._complaint = 0, ""
        return file

    def _complain(self, error: OSError) -> None:
        if str(error) != self._complaint:
            self._complaint = str(error)
            _log.warning("the event journal can't be written, so there is no replay of this time: %s", error)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _close(file: BufferedWriter | None) -> None:
    if file is not None:
        with suppress(OSError):  # what it still held is lost; it was told when it couldn't be written
            file.close()
