"""The responders on this machine, known by their command lines, and their certain end.

Invariants:
- a process is what /proc says it is now, never what a file remembers: no recycled pid is believed;
- the command line is asked for of those alone that have a responder's name: for any process's the kernel may
  have to wait for its memory's lock, which one that hangs on a disk may hold;
- only what was looked at is signalled: a pidfd is taken first, the look comes after;
- ended means that no thread of it is left, and so no socket.

All of it blocks, for milliseconds and `end` for its limit: call it in a thread.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recovery_kits.lb_health import responder

PROGRAM = Path(responder.__file__)
FLAGS = ("-I", "-S")  # of the interpreter
_PROC = Path("/proc")


@dataclass(frozen=True)
class Responder:
    """One process, and what it does."""

    pid: int
    owner: str
    duty: str


def responders(owner: str) -> list[Responder]:
    """Those of one owner; an owner's name is unique on this machine."""
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    return [found for pid in pids if (found := _look(pid)) is not None and found.owner == owner]


def end(owner: str, limit_s: float) -> None:
    """Kill all of an owner's, and return when they are gone.

    Raises OSError: TimeoutError when one isn't gone after `limit_s`, PermissionError when it is
    another user's.
    """
    until = time.monotonic() + limit_s
    while found := responders(owner):  # again: one may have been started meanwhile
        for each in found:
            _end(each, until)


def _end(process: Responder, until: float) -> None:
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if _look(process.pid) != process:  # the pid is somebody else's by now, or nobody's
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(max(until - time.monotonic(), 0.0) * 1_000):
            raise TimeoutError(f"process {process.pid} was killed and isn't gone")
    finally:
        os.close(pidfd)


def _look(pid: int) -> Responder | None:
    """The responder that this process is, or None."""
    folder = _PROC / str(pid)
    try:
        if (folder / "comm").read_bytes().strip() != responder.NAME.encode():
            return None
        argv = os.fsdecode((folder / "cmdline").read_bytes()).split("\0")[:-1]
    except OSError:  # it has just ended
        return None
    match argv:
        case [_, *flags, script, owner, duty] if (*flags, Path(script).name) == (*FLAGS, PROGRAM.name):
            return Responder(pid, owner, duty)
    return None
