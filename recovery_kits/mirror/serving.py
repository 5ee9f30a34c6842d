"""The processes that serve a leg on this machine, known by their command lines, and their certain end.

Invariants:
- a process is what /proc says it is now, never what a file remembers: no recycled pid is believed;
- only what was looked at is signalled: a pidfd is taken first, the look comes after;
- a process that is ending has lost its command line, and may still write: it counts as anybody's;
- one that is being executed has none yet, and is looked at again: it may be another leg's.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recovery_kits.mirror import listener
from recovery_kits.mirror.listener import PROGRAM
from recovery_kits.mirror.nbd import NbdError

LISTENER = Path(listener.__file__)
FLAGS = ("-I", "-S")  # of the interpreter
_PROC = Path("/proc")
_LOOK_S = 10.0  # for reading /proc; it takes milliseconds
_EXEC_S, _EXEC_PAUSE_S = 1.0, 0.001  # an exec is through at once, unless its program is read from a slow disk


@dataclass(frozen=True)
class Serving:
    """A listener, or a client's server."""

    pid: int
    directory: Path | None  # of its export; None: nothing tells, it is ending
    listens: str | None = None  # the text of the export, where it is a listener


async def serving(directory: Path) -> list[Serving]:
    """Those of that directory. Raises NbdError."""
    try:
        async with asyncio.timeout(_LOOK_S):
            found = await asyncio.to_thread(_everything)
    except TimeoutError:
        raise NbdError(PROGRAM, f"/proc can't be read within {_LOOK_S:g} s") from None
    return [each for each in found if each.directory in {directory, None}]


async def kill(processes: Iterable[Serving], *, limit_s: float) -> None:
    """Kill these, and return when they are gone. Raises NbdError when one isn't after `limit_s`."""
    dying = dict[int, Serving]()
    try:
        for each in processes:
            with suppress(ProcessLookupError):
                pidfd = os.pidfd_open(each.pid)
                dying[pidfd] = each
                if _look(each.pid) == each:  # else the pid is somebody else's by now, or nobody's
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                else:
                    os.close(pidfd)
                    del dying[pidfd]
        until = asyncio.get_running_loop().time() + limit_s
        for pidfd, each in dying.items():
            try:
                async with asyncio.timeout_at(until):
                    await _gone(pidfd)
            except TimeoutError:
                raise NbdError(PROGRAM, _stuck(each.pid, limit_s)) from None
    finally:
        for pidfd in dying:
            os.close(pidfd)


async def _gone(pidfd: int) -> None:
    """Wait until no thread of that process is left; a pidfd is readable then."""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(pidfd)


def _everything() -> list[Serving]:
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdecimal()]
    until = time.monotonic() + _EXEC_S
    return [found for pid in pids if (found := _settled(pid, until)) is not None]


def _settled(pid: int, until: float) -> Serving | None:
    """What this process is, when an exec that is under way is through; a stuck one counts as ending."""
    found = _look(pid)
    while found is not None and found.directory is None and _executes(pid) and time.monotonic() < until:
        time.sleep(_EXEC_PAUSE_S)
        found = _look(pid)
    return found


def _look(pid: int) -> Serving | None:
    """What this process is; None when it is something else, or has ended."""
    try:
        argv = os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes()).split("\0")[:-1]
        if not argv:
            name, state = _stat(pid)
            ends = name == PROGRAM and state not in "ZX"
            return Serving(pid, None) if ends or _executes(pid) else None
    except OSError:  # it has just ended
        return None
    match argv:
        case [_, *flags, script, directory, text] if (*flags, Path(script).name) == (*FLAGS, LISTENER.name):
            return Serving(pid, Path(directory), text)
        case [program, "-s", "-P", file, *_] if Path(program).name == PROGRAM:
            return Serving(pid, Path(file).parent)
    return None


def _executes(pid: int) -> bool:
    """Whether its program is the server's. From an exec's first step on, until it ends: then it has none."""
    try:
        return (_PROC / str(pid) / "exe").readlink().name == PROGRAM
    except OSError:
        return False


def _stat(pid: int) -> tuple[str, str]:
    """Its name and its state; proc_pid_stat(5)."""
    stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    name, _, fields = stat.partition("(")[2].rpartition(")")
    return name, fields.split()[0]


def _stuck(pid: int, limit_s: float) -> str:
    """Why a killed process isn't gone."""
    state = "unknown"
    with suppress(OSError):
        state = _stat(pid)[1]
    return (
        f"process {pid} was killed and isn't gone after {limit_s:g} s; "
        f"its state: {state} (D waits for a device)"
    )
