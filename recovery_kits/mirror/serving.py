"""The nbd-server processes of this machine, known by their command lines, and their certain end.

Invariants:
- a process is what /proc says it is now, never what a file remembers: no recycled pid is believed;
- only what was looked at is signalled: a pidfd is taken first, the look comes after;
- gone means that every thread is gone: a killed process whose first thread has ended may have another
  one in the kernel that still writes.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recovery_kits.mirror.nbd import NbdError

PROGRAM = "nbd-server"
_PROC = Path("/proc")
_STATE, _SESSION = 0, 3  # among the fields of /proc/PID/stat after the name; proc_pid_stat(5)
_LOOK_S = 10.0  # for reading /proc; it takes milliseconds


@dataclass(frozen=True)
class Serving:
    """A process of an nbd-server: the one that listens, or a child of it that serves a connection."""

    pid: int
    listens: bool
    config: Path  # what it was started with


async def serving(directory: Path) -> list[Serving]:
    """The nbd-servers whose configuration lies in that directory. Raises NbdError."""
    try:
        async with asyncio.timeout(_LOOK_S):
            found = await asyncio.to_thread(_everything)
    except TimeoutError:
        raise NbdError(PROGRAM, f"/proc can't be read within {_LOOK_S:g} s") from None
    return [each for each in found if each.config.parent == directory]


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
    return [found for pid in pids if (found := _look(pid)) is not None]


def _look(pid: int) -> Serving | None:
    """What this process is; None when it is something else, or has ended."""
    process = _PROC / str(pid)
    try:
        stat = (process / "stat").read_text(errors="replace")
        name, _, fields = stat.partition("(")[2].rpartition(")")
        if name != PROGRAM:
            return None
        # the first thread's memory is gone when it has ended; the others still tell
        for thread in sorted((process / "task").iterdir()):
            argv = os.fsdecode((thread / "cmdline").read_bytes()).split("\0")
            if len(argv) > 2 and argv[1] == "-C":
                return Serving(pid, int(fields.split()[_SESSION]) == pid, Path(argv[2]))
    except OSError:  # it has just ended
        return None
    return None


def _stuck(pid: int, limit_s: float) -> str:
    """Why a killed process isn't gone: a thread in state D waits for a device."""
    states = set[str]()
    with suppress(OSError):
        for thread in (_PROC / str(pid) / "task").iterdir():
            states.add((thread / "stat").read_text(errors="replace").rpartition(")")[2].split()[_STATE])
    return (
        f"process {pid} was killed and isn't gone after {limit_s:g} s; "
        f"the states of its threads: {', '.join(sorted(states)) or 'unknown'} (D waits for a device)"
    )
