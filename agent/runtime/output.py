"""What a command prints, kept in two small files instead of pipes.

A script may start a database and end, and the database keeps the script's stdout. With a pipe, waiting
for its end would wait for the database, and a restart of the agent would kill the database by SIGPIPE.
A file has neither fault. Invariants:
- nothing here waits: files are read as far as they go;
- a file that somebody still writes to stays, so that `tidy` can find it, in this life of the agent or
  the next, and cut it when it has grown; the others are deleted at the command's end;
- both ends of a file append, so cutting it never harms the writer;
- what is kept in memory, returned or logged is bounded, whatever a script prints.
"""

from __future__ import annotations

import fcntl
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

Log = Callable[[str], None]

FILE_BYTES = 1 << 20  # a file that has grown beyond this is cut
TAIL_BYTES = 4096  # of the output, for an error
LINE_BYTES = 4096  # longer lines are cut in the log
LINES_PER_S = 200  # logged of one command


class LineLog:
    """Hands lines on, `LINES_PER_S` at most, and says how many it kept to itself."""

    def __init__(self, log: Log | None) -> None:
        self._log = log
        self._second, self._logged, self._left_out = 0, 0, 0

    def __call__(self, line: bytes) -> None:
        """Log one line, cut to LINE_BYTES; blank ones are dropped."""
        if self._log is None or not line.strip():
            return
        if (second := int(time.monotonic())) != self._second:
            self._second, self._logged = second, 0
        if self._logged == LINES_PER_S:
            self._left_out += 1
            return
        self._logged += 1
        cut = " …" if len(line) > LINE_BYTES else ""
        self._log(line[:LINE_BYTES].decode(errors="replace").rstrip() + cut)

    def end(self) -> None:
        """Tell how much was left out."""
        if self._log is not None and self._left_out:
            self._log(f"({self._left_out} more lines were printed than are logged)")
            self._left_out = 0


class Stream:
    """One file that a command, and whatever it leaves behind, appends to."""

    def __init__(self, directory: Path, name: str, lines: LineLog) -> None:
        self.writer, path = tempfile.mkstemp(prefix=f"{name}-", dir=directory)
        self._path, self._lines = Path(path), lines
        fcntl.fcntl(self.writer, fcntl.F_SETFL, os.O_APPEND)
        self._reader = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = 0
        self._cut = False
        self._unended = b""  # a line whose end hasn't come
        self.tail = b""

    def started(self) -> None:
        """The command has the file: from now on only it writes there."""
        os.close(self.writer)

    def poll(self) -> None:
        """Log what is new, and cut the file when it has grown too large."""
        size = os.fstat(self._reader).st_size
        if size < self._offset:  # the script itself truncated it, as `> /dev/stderr` does
            self._offset = 0
        if size - self._offset > FILE_BYTES:
            self._offset = size - FILE_BYTES
        while chunk := os.pread(self._reader, 1 << 16, self._offset):
            self._offset += len(chunk)
            self._take(chunk)
            if self._offset > size:  # what comes faster than it is read waits for the next poll
                break
        if self._offset > FILE_BYTES:
            os.truncate(f"/proc/self/fd/{self._reader}", 0)  # works on a deleted file, too
            self._offset, self._cut = 0, True

    def end(self) -> None:
        """Log what is left, with or without an end of line."""
        self.poll()
        self._lines(self._unended)
        self._unended = b""

    def text(self) -> str:
        """All that was printed; only its tail when that is more than FILE_BYTES."""
        whole = self.tail if self._cut else os.pread(self._reader, FILE_BYTES, 0)
        return whole.decode(errors="replace")

    def close(self) -> None:
        """Let go of the file, and delete it unless somebody still writes to it."""
        os.close(self._reader)
        delete_unless_held(self._path)

    def _take(self, chunk: bytes) -> None:
        self.tail = (self.tail + chunk)[-TAIL_BYTES:]
        *ended, unended = (self._unended + chunk).split(b"\n")
        for line in ended:
            self._lines(line)
        self._unended = unended[: LINE_BYTES + 1]  # one more, so that the log says that it was cut


class Output:
    """Stdout and stderr of one command. Call `started` once it has them, `close` in any case."""

    def __init__(self, directory: Path, name: str, log: Log | None) -> None:
        self._lines = LineLog(log)
        self.out = Stream(directory, name, self._lines)
        self.err = Stream(directory, name, self._lines)

    def started(self) -> None:
        """Only the command holds the writing ends from now on."""
        self.out.started()
        self.err.started()

    def poll(self) -> None:
        """Log what is new."""
        self.out.poll()
        self.err.poll()

    def end(self) -> None:
        """The command has ended: log the rest."""
        self.out.end()
        self.err.end()
        self._lines.end()

    def tail(self) -> str:
        """The end of what was printed, at most TAIL_BYTES, for an error: stderr last."""
        both = b"\n".join(part for part in (self.out.tail.rstrip(), self.err.tail.rstrip()) if part)
        return both[-TAIL_BYTES:].decode(errors="replace")

    def close(self) -> None:
        """Let go of both files."""
        self.out.close()
        self.err.close()


def tidy(directory: Path) -> None:
    """Delete output files that nobody writes to any more; cut those that have grown."""
    for path in directory.iterdir():
        if not delete_unless_held(path) and path.stat().st_size > FILE_BYTES:
            os.truncate(path, 0)


def delete_unless_held(path: Path) -> bool:
    """Delete an output file unless a process has it open for writing; whether it is gone.

    A read lease is granted only on a file that nobody has open for writing: fcntl(2), F_SETLEASE.
    """
    try:
        reader = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.fcntl(reader, fcntl.F_SETSIG, signal.SIGURG)  # breaking a lease sends SIGIO, which kills
        fcntl.fcntl(reader, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a filesystem without leases: deleting never harms a writer, it only hides its output
    finally:
        os.close(reader)
    path.unlink(missing_ok=True)
    return True
