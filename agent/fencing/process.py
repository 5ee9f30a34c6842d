"""Runs a fencing command: secrets on its stdin, what it prints kept, ended by force when its time is up.

Invariants:
- it ends within `limit_s` and KILL_S, whatever the command does; one that can't be killed (it waits for a
  disk) is left behind and reaped whenever it ends;
- stdin is a file in memory, never a file system's, and never on the command line or in the environment;
- what is kept of the output is bounded;
- the loop never waits for the disk that holds a program: nice(1), which is in the page cache, is what
  is executed here, and nice executes the program.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

OUTPUT_BYTES = 65_536  # of stdout and stderr together, the last ones
KILL_S = 2.0
_LAUNCHER = ("nice", "-n", "0", "--")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int | None  # negative: that signal; None: it was still running when its time was up
    output: str  # the last OUTPUT_BYTES that it printed

    @property
    def missing(self) -> bool:
        """There is no such program: the launcher says so."""
        return self.code == 127 and self.output.startswith(f"{_LAUNCHER[0]}: ")


async def run(argv: Sequence[str], stdin: str, limit_s: float) -> Ended:
    """Run `argv`, which is never given to a shell, in a session of its own; raises OSError if it can't."""
    child = _Child(argv, stdin)
    try:
        await asyncio.wait([child.exited], timeout=limit_s)
        return Ended(child.code, child.output())
    finally:  # its time is up, or the caller is cancelled
        if child.code is None:
            await child.kill(argv[0])
        child.close()


class _Child:
    """A started command, and the pipe that it prints into."""

    def __init__(self, argv: Sequence[str], stdin: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        self.code: int | None = None
        self._kept = b""
        self._reader, writer = os.pipe2(os.O_CLOEXEC)
        given = os.memfd_create("stdin", os.MFD_CLOEXEC)
        try:
            os.pwrite(given, stdin.encode(), 0)
            self._process = subprocess.Popen(
                (*_LAUNCHER, *argv),
                stdin=given,
                stdout=writer,
                stderr=writer,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError:
            os.close(self._reader)
            raise
        finally:
            os.close(given)
            os.close(writer)
        os.set_blocking(self._reader, False)
        self._loop.add_reader(self._reader, self._read)
        self._pidfd = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._pidfd, self._has_exited)

    async def kill(self, name: str) -> None:
        """Kill the whole group, and leave behind what doesn't go. Its number is nobody else's until then."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.wait([self.exited], timeout=KILL_S)
        if self.code is None:
            _log.warning("%s: process %d can't be killed; left behind", name, self._process.pid)

    def output(self) -> str:
        """What it has printed so far, without a first line that isn't whole."""
        self._read()
        cut = len(self._kept) > OUTPUT_BYTES
        kept = self._kept[-OUTPUT_BYTES:].partition(b"\n")[2] if cut else self._kept
        return kept.decode(errors="replace")

    def close(self) -> None:
        """Stop listening; a daemon that it left behind gets SIGPIPE."""
        self._loop.remove_reader(self._reader)
        os.close(self._reader)

    def _read(self) -> None:
        """Take what is there, at most what a pipe holds."""
        with suppress(BlockingIOError):
            printed = os.read(self._reader, OUTPUT_BYTES)
            self._kept = (self._kept + printed)[-OUTPUT_BYTES - 1 :]  # one more tells that there was more
            if not printed:  # nobody has the other end any more
                self._loop.remove_reader(self._reader)

    def _has_exited(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.code = self._process.wait()
        self.exited.set_result(None)
