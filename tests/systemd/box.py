"""A machine of namespaces whose first process is systemd, over the host's tree.

What it writes is gone when it ends, but for /mnt/disk. The host's own units don't start in it. It ends with
its machine, and its control groups with `close`. Not shown here: what a kernel does, such as `MemoryMin=`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.machines.machine import PROJECT, Machine, Process, wait_until

SYSTEMD = Path("/lib/systemd/systemd")
WITHIN_S = 60.0
# $1: the name of its control group; $2: a folder to lay over the tree; $3: what stays though /tmp is new.
_BOOT = """
mkdir -p /mnt/cg /mnt/box
mount -t cgroup2 cgroup2 /mnt/cg
mkdir "/mnt/cg/$1"
echo $$ >"/mnt/cg/$1/cgroup.procs"
exec unshare --cgroup --mount --pid --fork --kill-child --mount-proc bash -euc '
mount -t tmpfs tmpfs /mnt/box
mkdir /mnt/box/work /mnt/box/new
cp -a "$0" /mnt/box/upper
mount -t overlay -o lowerdir=/,upperdir=/mnt/box/upper,workdir=/mnt/box/work overlay /mnt/box/new
cd /mnt/box/new
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for each in null zero full random urandom tty; do touch dev/$each; mount --bind /dev/$each dev/$each; done
mkdir dev/shm; ln -s /proc/self/fd dev/fd
for each in run mnt tmp var/tmp; do mount -t tmpfs tmpfs $each; done
test -e ".$1" || { mkdir -p ".$1"; mount --bind "$1" ".$1"; }
rm -rf etc/systemd/system/*.wants
mkdir mnt/disk mnt/old
mount --bind /mnt/disk mnt/disk
pivot_root . mnt/old
cd /
umount -l /mnt/old
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --log-target=console
' "$2" "$3"
"""


def why_not() -> str:
    """Why no systemd can run here; "" if one can."""
    if os.geteuid() != 0:
        return "systemd in namespaces needs root"
    if not SYSTEMD.exists() or not shutil.which("dbus-daemon"):
        return "systemd or dbus isn't installed: run requirements/bootstrap.sh"
    return "" if cgroups() is not None else "systemd needs a cgroup v2 hierarchy of the host"


def cgroups() -> Path | None:
    """Where the host has cgroup v2 mounted."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


class Box:
    """One machine; off until `boot`. `tree` is laid over the host's."""

    def __init__(self, machine: Machine, tree: Path) -> None:
        self.machine, self._tree = machine, tree
        self._group = f"kage-{os.getpid()}-{machine.name}"
        self._process: Process | None = None

    @property
    def on(self) -> bool:
        """Whether its systemd lives."""
        return self._process is not None and self._process.running

    @property
    def init(self) -> int:
        """The host's number of its first process."""
        assert self._process
        pid = self._process.entered_pid
        for _ in ("unshare", "systemd"):
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
        return pid

    def boot(self) -> None:
        """Return once systemd has started everything, or some of it has failed."""
        assert not self.on, f"{self.machine.name} is on"
        self._forget_groups()
        argv = ("bash", "-euc", _BOOT, "boot", self._group, str(self._tree), str(PROJECT))
        self._process = self.machine.spawn(*argv, log=f"{self.machine.name}.systemd.log")
        wait_until(self._is_up, WITHIN_S, f"{self.machine.name}: systemd is up", 0.2)

    def run(
        self, *argv: str, env: Mapping[str, str] | None = None, within_s: float = WITHIN_S, check: bool = True
    ) -> str:
        """Run a command in it; its output. Raises subprocess.CalledProcessError."""
        done = subprocess.run(
            ["nsenter", f"--target={self.init}", "--all", "--wd=/", *argv],
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=check,
        )
        return done.stdout.strip()

    def shown(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", f"--property={name}", "--value", unit)

    def path(self, inside: str) -> Path:
        """Where the host sees a file of it."""
        return Path(f"/proc/{self.init}/root{inside}")

    def ask_to_end(self, verb: str) -> None:
        """`systemctl poweroff` or `reboot`; returns when it is off."""
        self.run("systemctl", "--no-block", verb)
        wait_until(lambda: not self.on, WITHIN_S, f"{self.machine.name} is off", 0.1)

    def close(self) -> None:
        """Its machine is off: forget its control groups."""
        self._forget_groups()

    def _is_up(self) -> bool:
        if not self.on:
            raise AssertionError(f"{self.machine.name}: systemd ended")
        try:
            return self.run("systemctl", "is-system-running", check=False) in {"running", "degraded"}
        except (IndexError, FileNotFoundError):
            return False  # not that far yet

    def _forget_groups(self) -> None:
        place = cgroups()
        assert place is not None
        for folder, _, _ in os.walk(place / self._group, topdown=False):
            Path(folder).rmdir()
