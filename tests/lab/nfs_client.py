"""What clients of an exported filesystem do in a guest: mount it by the virtual address, lock, write."""

from __future__ import annotations

import sys
from itertools import pairwise

from tests.lab.guest import Guest, Spawned
from tests.machines.machine import wait_until
from tests.machines.reference import VIRTUAL_ADDRESS

SHARE = "/mnt/DIR1/share"
VERSIONS = ("4.2", "4.1")
LIMIT_S = 180.0
# Locks a file and writes numbered lines, each synced; it never opens the file again.
_WRITER = """
import fcntl, os, sys, time
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_TRUNC)
fcntl.lockf(file, fcntl.LOCK_EX)
number = 0
while True:
    os.pwrite(file, b"%07d\\n" % number, number * 8)
    os.fsync(file)
    print(number, f"{time.monotonic():.3f}", flush=True)
    number += 1
    time.sleep(0.05)
"""
_TRY_LOCK = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
try:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("locked")
except BlockingIOError:
    print("refused")
"""


def mount(guest: Guest, version: str, what: str = SHARE) -> str:
    """Mount by the virtual address; where."""
    point = f"/mnt/nfs-{version}{what.replace('/', '-')}"
    guest.run("mkdir", "-p", point)
    source, options = f"{VIRTUAL_ADDRESS}:{what}", f"vers={version},hard"
    guest.run("mount", "-t", "nfs4", "-o", options, source, point, within_s=LIMIT_S)
    return point


def try_lock(guest: Guest, path: str) -> str:
    """ "locked", or "refused" since somebody else has the lock."""
    argv = (sys.executable, "-I", "-S", "-c", _TRY_LOCK, path)
    return guest.run(*argv, within_s=LIMIT_S).strip()


def wait_unlocked(guest: Guest, path: str) -> None:
    """Until nobody has the lock."""
    wait_until(lambda: try_lock(guest, path) == "locked", LIMIT_S, "the lock is free")


def write(guest: Guest, version: str) -> Writer:
    """Have a guest lock a file and write it, by this version of NFS; returns once it does."""
    path = f"{mount(guest, version)}/{name_of(version)}"
    argv = (sys.executable, "-I", "-S", "-c", _WRITER, path)
    writer = Writer(version, guest.spawn(*argv, log=f"writer-{version}.log"))
    writer.go_on()
    return writer


def name_of(version: str) -> str:
    """The file that its writer locks."""
    return f"locked-{version}"


class Writer:
    """A program that holds a lock and writes, and what it has said."""

    def __init__(self, version: str, process: Spawned) -> None:
        self.version, self._process = version, process

    def times_s(self) -> list[float]:
        """When each write was answered, by the client's clock."""
        return [float(line.split()[1]) for line in self._process.said.splitlines() if line[:1].isdecimal()]

    def go_on(self) -> None:
        """Return once some more writes are answered; an error has ended the program."""
        until = len(self.times_s()) + 10
        wait_until(lambda: len(self.times_s()) >= until or not self._process.running, LIMIT_S, "writes go on")
        assert self._process.running, self._process.log.read_text()

    def pause_s(self, before: int) -> float:
        """The longest time between two answers since that many writes were answered."""
        return max(after - first for first, after in pairwise(self.times_s()[before - 1 :]))

    def written(self) -> str:
        """What the file must hold."""
        return "".join(f"{number:07d}\n" for number in range(len(self.times_s())))

    def stop(self) -> None:
        """End it, and so its lock."""
        self._process.stop()
