"""A machine: its own network, mounts, process numbers and hostname, under an init process.

Invariants:
- killing init is a power cut: the kernel ends every process of the machine, and its mounts and
  links go with them;
- every machine nests in one outer machine (the VPC), whose init lives as long as the pipe on its
  standard input: when this program ends in any way, `kill -9` included, everything is gone;
- only `disk` and what is outside /run, /mnt and /tmp is shared with the host's file system.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# reboot(2) in a process namespace ends just that. perl starts in a tenth of python's time, which counts
# where this stands in for the kernel's immediate reboot.
_REBOOT = {"x86_64": 169, "aarch64": 142}[platform.machine()]
CUT_MY_POWER = ("/usr/bin/perl", "-e", f"syscall({_REBOOT}, 0xfee1dead, 0x28121969, 0x01234567, 0)")
_SHARED = ("/run", "/mnt")  # where each machine has a file system of its own

# $1: hostname; $2: the directory that outlives a power cut, "" for none. `reboot` in a process
# namespace ends just that namespace, but sysrq would end the host.
_INIT = """
set -e
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /mnt
mkdir /mnt/disk /mnt/DIR1
[ -z "$2" ] || mount --bind "$2" /mnt/disk
[ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
cat /proc/sys/kernel/random/uuid >/run/boot_id # else a power cut would look like a restart of the agent
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
rm /run/boot_id
hostname "$1"
ip link set lo up
echo ready
# Until standard input ends; a parent that ignores CHLD has its dead children reaped by the kernel.
exec env --ignore-signal=CHLD cat >/dev/null
"""


class CommandFailed(Exception):
    """A command on a machine ended badly; reads `db-01: ip link: exit 1: no such device`."""

    def __init__(self, machine: str, argv: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"{machine}: {' '.join(argv)}: exit {code}: {output.strip()}")
        self.code, self.output = code, output


class TimedOut(Exception):
    """A condition didn't come true in time."""


def wait_until(condition: Callable[[], object], within_s: float, what: str, every_s: float = 0.02) -> None:
    """Return once `condition()` is true; raises TimedOut, naming `what`, after `within_s` seconds."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise TimedOut(f"not within {within_s} s: {what}")
        time.sleep(every_s)


class Process:
    """A program spawned on a machine; its output goes to a file."""

    def __init__(self, entered: subprocess.Popen[bytes], log: Path) -> None:
        self._entered, self.log = entered, log  # nsenter, which waits for the program itself

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._entered.poll() is None

    def send(self, number: signal.Signals) -> None:
        """Send the program a signal; none if it has ended."""
        for pid in _children(self._entered.pid):
            _kill(pid, number)

    @property
    def entered_pid(self) -> int:
        """The host's number of nsenter, the program's parent."""
        return self._entered.pid

    def resume(self) -> None:
        """Let nsenter go on: it stops itself when it sees its program stopped."""
        if self.running:
            _kill(self._entered.pid, signal.SIGCONT)

    def wait(self, within_s: float) -> int:
        """Its exit code; raises subprocess.TimeoutExpired."""
        return self._entered.wait(within_s)

    def stop(self, within_s: float = 5.0) -> None:
        """TERM, and KILL if that doesn't end it within `within_s` seconds."""
        self.send(signal.SIGTERM)
        try:
            self.wait(within_s)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.wait(5.0)


class Machine:
    """One machine, off until `boot`. `inside` is the machine it nests in; None for the outer one."""

    def __init__(
        self, name: str, logs: Path, inside: Machine | None = None, disk: Path | None = None
    ) -> None:
        self.name, self.logs, self.inside, self.disk = name, logs, inside, disk
        self._wrapper: subprocess.Popen[bytes] | None = None
        self._init_pid = 0  # as the host counts
        self._spawned: list[Process] = []

    @property
    def on(self) -> bool:
        """Whether its init lives."""
        return self._wrapper is not None and self._wrapper.poll() is None

    def boot(self) -> None:
        """Power on: an empty /run and /mnt, the disk at /mnt/disk, `lo` up, no links yet."""
        assert not self.on, f"{self.name} is on"
        for path in _SHARED:
            assert not PROJECT.is_relative_to(path), f"the project lies under {path}, which machines hide"
        self.logs.mkdir(parents=True, exist_ok=True)
        if self.disk:
            self.disk.mkdir(parents=True, exist_ok=True)
        unshare = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        if self.inside is None and os.geteuid() != 0:
            unshare += ["--user", "--map-root-user"]
        argv = [*unshare, "sh", "-c", _INIT, "init", self.name, str(self.disk or "")]
        with (self.logs / f"{self.name}.init.log").open("ab") as log:
            self._wrapper = subprocess.Popen(
                [*(self.inside.enter() if self.inside else []), *argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment({}),
            )
        assert self._wrapper.stdout
        if self._wrapper.stdout.readline() != b"ready\n":
            raise CommandFailed(self.name, ["boot"], self._wrapper.wait(5), _tail(Path(log.name)))
        self._init_pid = self._wrapper.pid
        while below := _children(self._init_pid):
            self._init_pid = below[0]

    def power_off(self) -> None:
        """Cut the power: every process is dead when this returns. Nothing happens if it is off."""
        if self._wrapper is None:
            return
        if self._wrapper.poll() is None:
            _kill(self._init_pid, signal.SIGKILL)
        # The dead are reaped by their nsenter, which stopped itself if the machine was frozen.
        wait_until(self._has_ended, 10, f"{self.name}: its processes ended")
        for process in self._spawned:
            process.wait(5)
        self._spawned.clear()
        for pipe in (self._wrapper.stdin, self._wrapper.stdout):
            if pipe:
                pipe.close()
        self._wrapper = None

    def _has_ended(self) -> bool:
        self._resume()
        return not self.on

    def enter(self) -> list[str]:
        """The start of a command line that runs the rest on this machine."""
        user = ["--user", "--preserve-credentials"] if os.geteuid() != 0 else []
        target = ["--target", str(self._init_pid)]
        return ["nsenter", *target, *user, "--net", "--uts", "--mount", "--pid", f"--wdns={PROJECT}", "--"]

    def pid_in_outer(self) -> int:
        """Init's process number as the machine around this one counts."""
        status = Path(f"/proc/{self._init_pid}/status").read_text()
        numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
        return int(numbers[-2])

    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        within_s: float = 20.0,
        check: bool = True,
    ) -> str:
        """Run a command to its end; its standard output. Raises CommandFailed unless it exits with 0."""
        done = subprocess.run(
            [*self.enter(), *argv],
            env=_environment(env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        if check and done.returncode != 0:
            raise CommandFailed(self.name, argv, done.returncode, done.stdout + done.stderr)
        return done.stdout

    def spawn(self, *argv: str, log: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a command; its output goes to `<log>` in the log directory. It ends with the machine."""
        path = self.logs / log
        with path.open("ab") as out:
            entered = subprocess.Popen(
                [*self.enter(), *argv],
                env=_environment(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._spawned = [each for each in self._spawned if each.running]
        self._spawned.append(Process(entered, path))
        return self._spawned[-1]

    def path(self, inside: str) -> Path:
        """Where the host sees the machine's file `inside`, e.g. "/run/kagemusha/agent.sock"."""
        return Path(f"/proc/{self._init_pid}/root{inside}")

    def processes(self) -> list[int]:
        """The host's numbers of all its processes but init's."""
        mine = Path(f"/proc/{self._init_pid}/ns/pid").readlink()
        return [
            pid
            for pid in (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
            if pid != self._init_pid and _namespace(pid) == mine
        ]

    def everything(self) -> list[int]:
        """The host's numbers of its processes and init's; none if it is off."""
        return [self._init_pid, *self.processes()] if self.on else []

    def freeze(self) -> None:
        """Stop every process, as a hypervisor that pauses the guest does."""
        frozen: set[int] = set()
        while new := set(self.processes()) - frozen:  # until none was forked meanwhile
            for pid in new:
                _kill(pid, signal.SIGSTOP)
            frozen |= new

    def thaw(self) -> None:
        """Let them go on."""
        for pid in self.processes():
            _kill(pid, signal.SIGCONT)
        self._resume()

    def _resume(self) -> None:
        for process in self._spawned:
            process.resume()


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/nonexistent", **extra}


def _namespace(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/ns/pid").readlink()
    except OSError:  # ended meanwhile, or another user's
        return None


def _children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _kill(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it has ended


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-20:])
