"""A guest: a virtual machine with the interface of `tests.machines.machine.Machine` where both have one.

Invariants:
- a power cut loses what the guest kept in memory, and of its disks' unflushed writes what `keep` says;
- /mnt/disk, its second disk, outlives a power cut, as /dev/vda does; nothing else that it wrote does.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab import disk, qemu
from tests.lab.channel import Channel, Message, Silent, listen
from tests.lab.disk import Disk, Keep
from tests.machines.machine import CommandFailed, Machine, Process, wait_until

STATE_MB = 64
BUSYBOX = "/run/busybox"
BOOT_LIMIT_S = 120.0  # five seconds on an idle machine
ANSWER_MARGIN_S = 20.0  # beyond a command's own limit: an emulated machine is slow to say so
END_LIMIT_S = 20.0


class Spawned:
    """A program that was spawned in a guest; its output goes to a file of the host's."""

    def __init__(self, guest: Guest, pid: int, log: Path) -> None:
        self.pid, self.log = pid, log
        log.touch()
        self._guest = guest
        self._code: int | None = None
        self._ended = threading.Event()

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return not self._ended.is_set()

    @property
    def said(self) -> str:
        """What it has printed, whole lines only."""
        text = self.log.read_text()
        return text[: text.rfind("\n") + 1]

    def send(self, number: signal.Signals) -> None:
        """Send the program a signal; none if it has ended."""
        if self.running:
            self._guest.run("kill", f"-{number.value}", str(self.pid), check=False)

    def wait(self, within_s: float) -> int | None:
        """Its exit code, None if its machine ended first; raises subprocess.TimeoutExpired."""
        if not self._ended.wait(within_s):
            raise subprocess.TimeoutExpired(str(self.pid), within_s)
        return self._code

    def stop(self, within_s: float = 20.0) -> None:
        """TERM, and KILL if that doesn't end it within `within_s` seconds."""
        self.send(signal.SIGTERM)
        try:
            self.wait(within_s)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.wait(within_s)

    def write(self, text: str) -> None:
        """Its output goes on."""
        with self.log.open("a") as log:
            log.write(text)

    def end(self, code: int | None) -> None:
        """It ended, or its machine did."""
        self._code = code
        self._ended.set()


class Guest:
    """One guest, off until `boot`."""

    def __init__(
        self, name: str, vpc: Machine, directory: Path, disk_mb: int, root: Path | None = None
    ) -> None:
        """Its disks and sockets lie in `directory`, named after it; both disks are new.

        With `root`, an image, its first disk begins as a copy of that and is its root.
        """
        self.name, self.logs = name, vpc.logs
        self._vpc, self._directory = vpc, directory
        self._own_root = root is not None
        if root is not None:
            copy = ("cp", "--sparse=always", str(root), str(directory / f"{name}.data.img"))
            subprocess.run(copy, check=True, timeout=60)
        self.data = Disk(directory / f"{name}.data.img", disk_mb)
        self.state = Disk(directory / f"{name}.state.img", STATE_MB)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", str(self.state.image)], check=True, timeout=60)
        self._spawned: dict[int, Spawned] = {}
        self._up = threading.Event()
        self._qemu: Process | None = None
        self._root: Process | None = None  # virtiofsd
        self._channel: Channel | None = None
        self._monitor: qemu.Monitor | None = None

    @property
    def console(self) -> Path:
        """What its kernel has said since it booted."""
        return self.logs / f"{self.name}.console.log"

    # Power

    @property
    def on(self) -> bool:
        """Whether it has power; false soon after its kernel rebooted or ended."""
        return self._qemu is not None and self._qemu.running

    def boot(self, cards: tuple[qemu.Card, ...]) -> None:
        """Power on, with these network cards; returns before it is up."""
        assert not self.on, f"{self.name} is on"
        self.power_cut()  # after a restart by itself: its old processes' other ends
        self._up.clear()
        disks = {"data": self._path("data.sock"), "state": self._path("state.sock")}
        sockets = qemu.Sockets(self._path("root"), self._path("control"), self._path("monitor"), disks)
        self.data.plug_in(disks["data"])
        self.state.plug_in(disks["state"])
        sockets.root.unlink(missing_ok=True)
        self._root = self._vpc.spawn(*qemu.virtiofsd_argv(sockets.root), log=f"{self.name}.virtiofsd.log")
        wait_until(sockets.root.exists, 20, f"{self.name}: virtiofsd listens")
        argv = qemu.qemu_argv(self.name, sockets, cards, self.console, own_root=self._own_root)
        with listen(sockets.control) as control, listen(sockets.monitor) as monitor:
            self._qemu = self._vpc.spawn(*argv, log=f"{self.name}.qemu.log")
            self._channel = Channel(self.name, control, self._on_message)
            self._monitor = qemu.Monitor(monitor)

    def wait_up(self, within_s: float = BOOT_LIMIT_S) -> None:
        """Return once it runs commands; raises TimedOut, or Silent if it went off instead."""
        wait_until(lambda: self._up.is_set() or not self.on, within_s, f"{self.name} is up")
        if not self.on:
            logs = (self.logs / f"{self.name}.{each}.log" for each in ("console", "qemu", "virtiofsd"))
            ends = [log.read_text(errors="replace")[-2000:] for log in logs]
            raise Silent("\n".join([f"{self.name} went off while it booted", *ends]))

    def power_cut(self, keep: Keep = disk.nothing) -> None:
        """Every process is dead when this returns. A guest that is off already loses nothing more."""
        keep = keep if self.on else disk.everything
        if self._qemu is not None:
            self._qemu.send(signal.SIGKILL)
            wait_until(self._has_ended, END_LIMIT_S, f"{self.name}: QEMU ended")
        if self._root is not None:
            self._root.stop()
        for end in (self._channel, self._monitor):
            if end is not None:
                end.close()
        self._qemu = self._root = self._channel = self._monitor = None
        self.data.unplug(keep)
        self.state.unplug(keep)
        for each in self._spawned.values():
            each.end(None)
        self._spawned.clear()

    def power_off(self) -> None:
        """Cut the power."""
        self.power_cut()

    def everything(self) -> list[int]:
        """The host's numbers of its processes: none. Its QEMU is one of the VPC's."""
        return []

    def restart(self) -> None:
        """Have the kernel restart at once, without writing anything down first; returns when it is off."""
        self.spawn(BUSYBOX, "reboot", "-f", log=f"{self.name}.reboot.log")
        wait_until(lambda: not self.on, END_LIMIT_S, f"{self.name} is off")

    def freeze(self) -> None:
        """Stop it between two instructions, as a hypervisor that pauses it does."""
        assert self._qemu
        self._qemu.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on; its clocks have gone on meanwhile."""
        assert self._qemu
        self._qemu.send(signal.SIGCONT)
        self._qemu.resume()

    def carrier(self, device: str, *, up: bool) -> None:
        """Pull a network card's cable, or plug it in again."""
        assert self._monitor
        self._monitor.set_link(device, up=up)

    def _has_ended(self) -> bool:
        assert self._qemu
        self._qemu.resume()
        return not self.on

    # What runs in it

    def run(
        self,
        *argv: str,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        within_s: float = 60.0,
        check: bool = True,
    ) -> str:
        """Run a command to its end; its standard output. Raises CommandFailed unless it exits with 0.

        After `within_s` seconds it is killed, and subprocess.TimeoutExpired raised, even if it hangs in
        the kernel; Silent if the guest itself hangs, or its clock is wrong.
        """
        request = {"argv": argv, "env": dict(env or {}), "stdin": stdin, "within_s": within_s}
        began = time.monotonic()
        done = self._ask("run", within_s + ANSWER_MARGIN_S, **request)
        if done["code"] is None:
            took_s = time.monotonic() - began
            if took_s < within_s / 2:  # seen once, on a host with too much to do
                raise Silent(f"{self.name}'s clock is wrong: {within_s:g} s of it took {took_s:.1f} s")
            raise subprocess.TimeoutExpired(argv, within_s, done["out"], done["err"])
        if check and done["code"] != 0:
            raise CommandFailed(self.name, argv, done["code"], done["out"] + done["err"])
        output: str = done["out"]
        return output

    def shell(self, text: str, within_s: float = 60.0) -> str:
        """The same for lines of bash, which end at the first command that fails."""
        return self.run("bash", "-euc", text, within_s=within_s)

    def spawn(self, *argv: str, log: str, env: Mapping[str, str] | None = None) -> Spawned:
        """Start a command; its output goes to `<log>` in the log directory. It ends with the machine."""
        answer = self._ask("spawn", ANSWER_MARGIN_S, argv=argv, env=dict(env or {}), log=log)
        if "error" in answer:
            raise CommandFailed(self.name, argv, 127, answer["error"])
        return self._spawned[answer["pid"]]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file there, in one step; its folders are made."""
        script = 'mkdir -p "${1%/*}"; cat >"$1.new"; chmod "$2" "$1.new"; mv "$1.new" "$1"'
        self.run("sh", "-ec", script, "write", path, f"{mode:o}", stdin=text)

    def read(self, path: str) -> str:
        """What a file holds."""
        return self.run("cat", path)

    def http(self, socket: str, method: str, target: str, body: str | None, within_s: float) -> Message:
        """One request over a Unix socket of the guest's: {"status", "text"}, or {"error"}, a name."""
        what = {"socket": socket, "method": method, "target": target, "body": body, "within_s": within_s}
        return self._ask("http", within_s + ANSWER_MARGIN_S, **what)

    def _ask(self, do: str, limit_s: float, **what: Any) -> Message:
        if self._channel is None:
            raise Silent(f"{self.name} is off")
        return self._channel.ask(do, limit_s, **what)

    def _on_message(self, message: Message) -> None:
        match message:
            case {"up": _}:
                self._up.set()
            case {"began": pid, "log": log}:
                self._spawned[pid] = Spawned(self, pid, self.logs / log)
            case {"output": pid, "text": text}:
                self._spawned[pid].write(text)
            case {"ended": pid, "code": code}:
                self._spawned[pid].end(code)

    def _path(self, name: str) -> Path:
        return self._directory / f"{self.name}.{name}"
