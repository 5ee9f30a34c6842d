"""The guardian: a second, tiny process that makes this node harmless when its agent doesn't renew in time.

`guard.py` starts it by this file's path (`python -I -S guardian.py`), so nothing of the project is
imported here, and of the standard library only what is small. Invariants:
- the instant it acts on is the newest that the agent wrote and that can be right; a file that is cut
  short, or holds what nobody would have written, changes nothing, so it acts unless the agent renews;
- awake in time, it acts at the instant. Awake late, because the whole machine stood still, it gives the
  agent `grace_ms` first: nothing ran meanwhile, and an agent that wakes asks before it acts;
- once it acts it goes on until the node is no more, and waits for no disk and no log;
- it ends only when told to, or when nothing is in service and the agent is gone.

Its memory: bytes 0-7 the instant (milliseconds of CLOCK_BOOTTIME, little endian; 0: nothing in service),
8-15 its process, once it is ready, then what it was told, separated by zero bytes. It is read by pread(2),
which a file that is cut short can't kill as it would kill who maps it. Its stdin is a FIFO: a byte says
that the instant became an earlier one, its end that the agent is gone.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False  # the real one is in a module as large as all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

SYSRQ, KERNEL_LOG = "/proc/sysrq-trigger", "/dev/kmsg"
REBOOT, POWER_OFF = b"b", b"o"  # at once: no sync, no unmount; Documentation/admin-guide/sysrq.rst
COMMAND_LIMIT_MS = 10_000
AFTER_S = {"command": 1.0, "reboot": 1.0, "poweroff": 5.0}  # what each needs to work: devices are shut down
DISARMED, RETIRE = 0, 2**64 - 1
WORD, TOLD_AT = 8, 16  # bytes
LATE_MS = 100  # later than that the machine stood still
HORIZON_MS = 7_200_000  # two hours: an instant beyond that was never written by an agent
READY = "ready"
_LOOKS = 10
NAME = "kage-guardian"
_LOG_LIMIT_MS = 50  # the console may be slow
_KILL_MS = 1_000
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}
_SIGKILL = 9
_IGNORED = (1, 2, 15)  # SIGHUP, SIGINT, SIGTERM: whoever stops the service doesn't stop this
_IGNORED_BY_PYTHON = (13, 25)  # SIGPIPE, SIGXFSZ
_CLOCK_BOOTTIME, _TFD_TIMER_ABSTIME = 7, 1
_TFD_FLAGS = os.O_NONBLOCK | os.O_CLOEXEC  # their values, too
_MCL_CURRENT, _MCL_FUTURE = 1, 2  # linux/mman.h: everything, so that acting needs no page from a disk

_libc = ctypes.CDLL(None, use_errno=True)


class Told:
    """What this guardian is for; the agent compares it to tell whether a living one will do."""

    def __init__(self, text: bytes) -> None:
        _edition, grace, limit, sysrq, kernel_log, order, *command = text.split(b"\0")
        self.grace_ms, self.command_limit_ms = int(grace), int(limit)
        self.sysrq, self.kernel_log, self.command = sysrq, kernel_log, command
        self.order = order.decode().split(",")


class Memory:
    """The file shared with the agent."""

    def __init__(self, file: int) -> None:
        self._file = file
        self.instant = DISARMED
        self.told = Told(os.pread(file, os.fstat(file).st_size, TOLD_AT))

    def look(self, now: int) -> int:
        """The newest instant that can be right."""
        for _ in range(_LOOKS):
            read = os.pread(self._file, WORD, 0)
            if read == os.pread(self._file, WORD, 0):  # else it is being written
                word = int.from_bytes(read, "little")
                if len(read) == WORD and (word == RETIRE or word <= now + HORIZON_MS):
                    self.instant = word
                break
        return self.instant

    def sign(self) -> None:
        """Say that this process is ready."""
        os.pwrite(self._file, os.getpid().to_bytes(WORD, "little"), WORD)


class Sleep:
    """Waits for an instant or for the agent; a suspended machine makes it late, and no later than that."""

    def __init__(self, agent: int) -> None:
        self._agent = agent
        os.set_blocking(agent, False)
        self._timer = _checked(_libc.timerfd_create(_CLOCK_BOOTTIME, _TFD_FLAGS))
        self._poll = select.epoll()
        self._poll.register(agent, select.EPOLLIN | select.EPOLLET)  # its end is told once, not for ever
        self._poll.register(self._timer, select.EPOLLIN)

    def until(self, due_ms: int | None) -> bool:
        """Sleep until then, or for ever, or until the agent speaks or goes; is it there?"""
        second, millisecond = divmod(due_ms or 0, 1_000)
        setting = (ctypes.c_long * 4)(0, 0, second, millisecond * 1_000_000)  # zero: no timer
        _checked(_libc.timerfd_settime(self._timer, _TFD_TIMER_ABSTIME, setting, None))
        self._poll.poll()
        try:
            while os.read(self._agent, 4_096):
                pass
        except BlockingIOError:
            return True
        return False


def watch(memory: Memory, sleep: Sleep) -> None:
    """Guard the node; returns when told to end, or when nothing is left to guard."""
    meant, free_until, agent_there = now_ms(), 0, True
    while (instant := memory.look(now := now_ms())) != RETIRE:
        if instant == DISARMED and not agent_there:
            return
        due = None if instant == DISARMED else instant
        if due is not None and due <= now:
            if now - meant > LATE_MS:
                free_until = now + memory.told.grace_ms
            if free_until <= now:
                fence(memory.told, f"its agent hasn't renewed for {now - instant} ms")
            due = free_until
        agent_there = sleep.until(due)
        meant = due or now_ms()


def fence(told: Told, reason: str) -> NoReturn:
    """Try the means in their order, again and again, until the node is no more."""
    tell = Teller(told.kernel_log)
    while True:
        for means in told.order:
            tell(f"fencing this node by {means}: {reason}")
            try:
                if means == "command":
                    run(told, tell)
                else:
                    write(told.sysrq, REBOOT if means == "reboot" else POWER_OFF)
            except OSError as error:
                tell(f"fencing this node by {means} failed: {error}")
            time.sleep(AFTER_S[means])


def run(told: Told, tell: Callable[[str], None]) -> None:
    """Run the command, and tell if it didn't work."""
    child = fork(lambda: os.execve(told.command[0], told.command, _ENVIRONMENT))  # noqa: S606
    if not ended(child, told.command_limit_ms):
        tell(f"the command didn't end within {told.command_limit_ms} ms")
        os.killpg(child, _SIGKILL)
        if ended(child, _KILL_MS):  # else it is left behind
            os.waitpid(child, 0)
    elif code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        tell(f"the command ended with {code}")


class Teller:
    """Tells the kernel log, which the console shows after a reboot; while a line hangs others are dropped."""

    def __init__(self, kernel_log: bytes) -> None:
        self._kernel_log, self._child = kernel_log, 0

    def __call__(self, text: str) -> None:
        try:
            if self._child and os.waitpid(self._child, os.WNOHANG) == (0, 0):
                return
            line = f"<2>kagemusha: {text}\n".encode()  # 2: critical; one record for each write
            self._child = fork(lambda: write(self._kernel_log, line))
            ended(self._child, _LOG_LIMIT_MS)
        except OSError:  # no process to be had: acting matters more
            self._child = 0


def fork(body: Callable[[], None]) -> int:
    """Run `body` in a child with a session of its own and no signal ignored; the child's number."""
    if (child := os.fork()) != 0:
        return child
    try:
        os.setsid()
        for each in (*_IGNORED, *_IGNORED_BY_PYTHON):
            _handle(each, by_default=True)
        body()
        os._exit(0)
    finally:
        os._exit(127)


def ended(child: int, limit_ms: int) -> bool:
    """Does this child end within the limit? It isn't reaped."""
    handle = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(limit_ms))
    finally:
        os.close(handle)


def write(path: bytes | str, data: bytes) -> None:
    """One write to a file that is there."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(file, data)
    finally:
        os.close(file)


def now_ms() -> int:
    """Milliseconds since the machine booted; goes on while it is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def protect() -> list[str]:
    """Stay alive and quick whatever happens around; what wasn't permitted."""
    for each in _IGNORED:
        _handle(each, by_default=False)
    steps: dict[str, Callable[[], object]] = {
        "a name": lambda: write("/proc/self/comm", NAME.encode()),
        "protection from the out-of-memory killer": lambda: write("/proc/self/oom_score_adj", b"-1000"),
        "locked memory": lambda: _checked(_libc.mlockall(_MCL_CURRENT | _MCL_FUTURE)),
        # above the agent's 1, which may be what spins; reset on fork: the command runs as anything else
        "real-time priority": lambda: os.sched_setscheduler(
            0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(2)
        ),
    }
    refused = []
    for what, step in steps.items():
        try:
            step()
        except OSError as error:
            refused.append(f"{what} ({error.strerror})")
    return refused


def main(file: int) -> None:
    """Detach from the agent, get ready, say so on stdout together with what wasn't permitted, and guard."""
    if os.fork() != 0:  # so that nobody has to reap it
        os._exit(0)
    os.setsid()
    os.chdir("/")
    os.set_inheritable(file, False)  # nor do its children hold its lock
    agent = os.dup(0)
    memory, sleep = Memory(file), Sleep(agent)
    refused = protect()
    memory.sign()
    with suppress(BrokenPipeError):  # the agent is gone by now
        os.write(1, f"{READY}\n{', '.join(refused)}".encode())
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in (0, 1, 2):
        os.dup2(nothing, each)
    watch(memory, sleep)


def _handle(signal: int, *, by_default: bool) -> None:
    """Ignore a signal or not; the module for that is a tenth of this process."""
    _libc.signal(signal, ctypes.c_void_p(0 if by_default else 1))


def _checked(result: int) -> int:
    """The result of a C function, or its OSError."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


if __name__ == "__main__":
    main(int(sys.argv[1]))
