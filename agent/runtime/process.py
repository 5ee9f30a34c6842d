"""Runs a kit's commands: the only place where the agent starts a process.

Invariants:
- a command gets a session and process group of its own; when the caller is cancelled the group, and the
  descendants that left it, get SIGTERM, `grace_ms` to end, then SIGKILL; the caller goes on when they
  are gone, or after `abandon_ms` more;
- a process that sits in an uninterruptible sleep can't be killed: it is left behind, said so, reaped
  whenever it ends, and the same command isn't started again until then;
- a command that ends by itself may leave a daemon behind (output.py: it may even keep the output);
- a command doesn't outlive an agent that was killed: its work would go on behind the next one's back;
- nothing blocks the event loop. The loop never waits for the disk that holds a program: choom(1) and
  setpriv(1), which are in the page cache, are what the agent executes, and setpriv executes the program;
- a command, and what it leaves behind, isn't protected as the agent is: not from the OOM killer, and not in
  the agent's control group (apart.py).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

from agent.runtime.apart import Apart
from agent.runtime.output import Output, tidy
from recovery_kits.contract import CommandFailed

_LAUNCHER = ("setpriv", "--pdeathsig", "KILL", "--")
_UNPROTECTED = ("choom", "-n", "0", "--")  # where the agent is protected, and so a child of it would be
_MINIMAL_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
_POLL_S = 0.1  # how often a running command's output is looked at
_KILL_POLL_S = 0.01
_TIDY_EVERY_S = 60

_journal = logging.getLogger(__name__)


class Runner:
    """The `Run` of the kit contract.

    `directory` holds what commands print, in files; it belongs on a tmpfs (/run/kagemusha/output) and is
    made here, and again if somebody cleaned it away: no service may fail for that. `grace_ms` is the time
    between SIGTERM and SIGKILL, `abandon_ms` the time after SIGKILL until a process that doesn't go is
    left behind.
    """

    def __init__(
        self, directory: Path, *, grace_ms: int = 500, abandon_ms: int = 2_000, apart: Apart | None = None
    ) -> None:
        self._directory, self._apart = directory, apart
        protected = int(Path("/proc/self/oom_score_adj").read_text()) < 0
        self._launcher = (*_UNPROTECTED, *_LAUNCHER) if protected else _LAUNCHER
        self._make_directory()
        self._grace_s, self._abandon_s = grace_ms / 1000, abandon_ms / 1000
        self._environment = {**_MINIMAL_ENVIRONMENT, "HOME": os.environ.get("HOME", "/")}
        self._scanner = ThreadPoolExecutor(1, "processes")  # its own: others may be full of slow calls
        self._abandoned: dict[tuple[str, ...], _Child] = {}
        self._tidied_at = 0.0

    async def __call__(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> str:
        """Run `argv` to its end; see `recovery_kits.contract.Run`. Returns at most 1 MiB of stdout."""
        self._make_directory()
        self._tidy()
        if (child := self._abandoned.get(argv)) is not None:
            if not child.exited.done():
                raise CommandFailed(argv, -signal.SIGKILL, f"an earlier one, pid {child.pid}, still hangs")
            del self._abandoned[argv]
        output = Output(self._directory, Path(argv[0]).name, log)
        try:
            child = _Child(self._launcher, argv, {**self._environment, **(env or {})}, output)
            code = await self._follow(child, output)
            output.end()
            if code != 0:
                raise _failure(argv, code, output)
            return output.out.text()
        finally:
            output.close()
            if self._apart is not None:
                self._apart.sweep_soon()

    async def _follow(self, child: _Child, output: Output) -> int:
        """Log what it prints until it ends; the exit code, negative for a signal."""
        try:
            while not child.exited.done():
                await asyncio.wait([child.exited], timeout=_POLL_S)
                output.poll()
        except BaseException:  # cancelled, mostly
            ending = asyncio.ensure_future(self._kill(child))
            while not ending.done():  # bounded; cancelling once more doesn't leave processes behind
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([ending])
            ending.result()
            output.end()
            raise
        return child.reap()

    async def _kill(self, child: _Child) -> None:
        """End the command and its descendants; abandon what can't be ended."""
        family = await self._family(child)
        _signal(child, family, signal.SIGTERM)
        await _gone(family, self._grace_s)
        family |= await self._family(child)  # those that were born meanwhile
        _signal(child, family, signal.SIGKILL)
        if await _gone(family, self._abandon_s):
            await child.exited
            child.reap()
            return
        stuck = ", ".join(f"{process.pid}" for process in family if _lives(process))
        _journal.warning("%s: process %s can't be killed; left behind", " ".join(child.argv), stuck)
        child.exited.add_done_callback(lambda _: child.reap())
        if not child.exited.done():
            self._abandoned[child.argv] = child

    async def _family(self, child: _Child) -> set[psutil.Process]:
        return await asyncio.get_running_loop().run_in_executor(self._scanner, _family_of, child.pid)

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _tidy(self) -> None:
        if time.monotonic() - self._tidied_at > _TIDY_EVERY_S:
            self._tidied_at = time.monotonic()
            tidy(self._directory)


class _Child:
    """A started command. Until `reap` nobody else can get its pid, even after its end."""

    def __init__(
        self, launcher: tuple[str, ...], argv: tuple[str, ...], env: Mapping[str, str], output: Output
    ) -> None:
        self.argv = argv
        try:
            self._process = subprocess.Popen(
                (*launcher, *argv),
                stdin=subprocess.DEVNULL,
                stdout=output.out.writer,
                stderr=output.err.writer,
                env=env,
                cwd="/",
                start_new_session=True,
            )
        finally:
            output.started()
        self.pid = self._process.pid  # of its group and session, too
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[None] = loop.create_future()
        self._pidfd = os.pidfd_open(self.pid)
        loop.add_reader(self._pidfd, self._has_exited, loop)

    def reap(self) -> int:
        """Its exit code, negative for a signal, once it has exited."""
        return self._process.wait()

    def _has_exited(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.exited.set_result(None)


def _failure(argv: tuple[str, ...], code: int, output: Output) -> Exception:
    """What a code other than 0 means; the launcher says 127 when there is no such program."""
    tail = output.tail()
    launcher_says = f"{_LAUNCHER[0]}: failed to execute "
    if code == 127 and tail.startswith(launcher_says):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), argv[0])
    return CommandFailed(argv, code, tail.removeprefix(launcher_says) if code == 126 else tail)


def _family_of(leader: int) -> set[psutil.Process]:
    """The members of a group, and their descendants wherever those went."""
    family = set()
    for pid in psutil.pids():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getpgid(pid) == leader:
                member = psutil.Process(pid)
                family |= {member, *member.children(recursive=True)}
    return family


def _signal(child: _Child, family: set[psutil.Process], number: signal.Signals) -> None:
    """Signal the whole group at once, then whoever left it. Nobody is signalled twice."""
    with suppress(ProcessLookupError, PermissionError):  # what can't be signalled is seen to live on
        os.killpg(child.pid, number)
    for process in family:
        with suppress(ProcessLookupError, psutil.NoSuchProcess, psutil.AccessDenied):
            if os.getpgid(process.pid) != child.pid:
                process.send_signal(number)


async def _gone(family: set[psutil.Process], within_s: float) -> bool:
    """Whether the whole family ended within that time."""
    until = time.monotonic() + within_s
    while any(map(_lives, family)):
        if time.monotonic() >= until:
            return False
        await asyncio.sleep(_KILL_POLL_S)
    return True


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False
