"""A kit's own processes on this machine, known by their command lines, and their certain end.

Invariants:
- a process is what /proc says it is now, never what a file remembers: no recycled pid is believed;
- the command line is asked for of those alone that have the name: for any process's the kernel may have to
  wait for its memory's lock, which one that hangs on a disk may hold;
- only what was looked at is signalled: a pidfd is taken first, the look comes after;
- ended means that no thread of it is left, and so no socket.

All of it blocks, for milliseconds and `end` for its limit: call it in a thread.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process, as it is now."""

    pid: int
    argv: tuple[str, ...]


Fits = Callable[[Process], bool]


def running(name: str, fits: Fits) -> list[Process]:
    """Those of a name (/proc/PID/comm, at most 15 characters) that fit."""
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    return [found for pid in pids if (found := _look(pid, name)) is not None and fits(found)]


def end(name: str, fits: Fits, limit_s: float) -> None:
    """Kill all that `running` finds, and return when they are gone.

    Raises OSError: TimeoutError when one isn't gone after `limit_s`, PermissionError when it is
    another user's.
    """
    until = time.monotonic() + limit_s
    while found := running(name, fits):  # again: one may have been started meanwhile
        for each in found:
            _end(each, name, until)


def _end(process: Process, name: str, until: float) -> None:
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if _look(process.pid, name) != process:  # the pid is somebody else's by now, or nobody's
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(until - time.monotonic(), 0.0) * 1_000):
            raise TimeoutError(f"process {process.pid} was killed and isn't gone")
    finally:
        os.close(pidfd)


def _look(pid: int, name: str) -> Process | None:
    """The process, or None when it has another name or has just ended."""
    folder = _PROC / str(pid)
    try:
        if (folder / "comm").read_bytes().strip() != name.encode():
            return None
        argv = os.fsdecode((folder / "cmdline").read_bytes()).split("\0")[:-1]
    except OSError:
        return None
    return Process(pid, tuple(argv))
