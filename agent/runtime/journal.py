"""Every event the core was given, in bounded files, so that an incident can be walked through again.

Keeps: each file begins with everything the node knew at that point, so each can be replayed alone;
at most `KEPT` files of about `FILE_BYTES`; the event loop never waits for the disk: what can't be
written is dropped and counted, and the next file begins anew.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Sequence
from pathlib import Path

from agent.core.effects import Effect
from agent.core.events import Event
from agent.core.state import NodeState
from agent.runtime.codec import encode_entry, encode_header

FILE_BYTES = 8 * 1024 * 1024
KEPT = 4
_WAITING = 10_000  # lines
_FLUSH_S = 1.0
_NEW_FILE = b"\n"  # before a header, which no line of JSON begins with

_log = logging.getLogger(__name__)


class Journal:
    """journal-0.jsonl is being written; higher numbers are older."""

    def __init__(self, directory: Path, version: str, *, file_bytes: int = FILE_BYTES) -> None:
        self._directory, self._version, self._file_bytes = directory, version, file_bytes
        self._lines: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._written, self._fresh = 0, True
        self.dropped = 0
        self._writer = threading.Thread(target=self._write, name="journal", daemon=True)
        self._writer.start()

    def before(self, state: NodeState) -> None:
        """Call before each step: begins a new file with `state` when it is time for one."""
        if self._fresh or self._written > self._file_bytes:
            header = encode_header(self._version, state)
            self._fresh, self._written = False, 0
            self._put(_NEW_FILE + header)

    def after(self, event: Event, effects: Sequence[Effect]) -> None:
        """Call after each step."""
        self._put(encode_entry(event, effects))

    def close(self) -> None:
        """Write what waits, for a second at most."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._writer.join(1.0)

    def _put(self, line: bytes) -> None:
        self._written += len(line) + 1
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self.dropped += 1
            self._fresh = True  # a file with a gap can't be replayed beyond it

    def _write(self) -> None:
        try:
            line = self._lines.get()
            while line is not None:
                line = self._write_file(line)
        except OSError as error:
            _log.warning("the event journal can't be written, so there will be no replay: %s", error)
            while self._lines.get() is not None:
                pass

    def _write_file(self, header: bytes) -> bytes | None:
        """Write one file; the next one's header, or None at the end of all."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rotate()
        with (self._directory / "journal-0.jsonl").open("wb") as file:
            file.write(header.lstrip(_NEW_FILE) + b"\n")
            while True:
                try:
                    line = self._lines.get(timeout=_FLUSH_S)
                except queue.Empty:
                    file.flush()
                    continue
                if line is None or line.startswith(_NEW_FILE):
                    return line
                file.write(line + b"\n")

    def _rotate(self) -> None:
        for number in reversed(range(KEPT - 1)):
            path = self._directory / f"journal-{number}.jsonl"
            if path.exists():
                path.replace(self._directory / f"journal-{number + 1}.jsonl")
