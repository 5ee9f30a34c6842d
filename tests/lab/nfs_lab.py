"""Two servers with the kits of an exported filesystem, and one client that mounts it by the virtual address.

The filesystem's disk is db-03's, reached by NBD from whichever server has its turn, as an EBS volume is.
db-03 is the client as well. No agent runs: the test decides who serves.

The servers' kits live below a root of their own, an ext4 that differs from node to node, since a guest's root
can't be exported: a part of it is what an NFS client sees above the exported directories.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import Any

from tests.lab.guest import Guest, Spawned
from tests.lab.hands import SOCKET
from tests.lab.lab import ADDRESSES, VmLab
from tests.machines.machine import PROJECT, wait_until

SERVERS, CLIENT = ("db-01", "db-02"), "db-03"
VIRTUAL_ADDRESS, DISK_MB = "10.1.0.10", 64
SHARE, STATE = "/mnt/DIR1/share", "/mnt/DIR1/nfs-state"
NFS = "nfs-dir1"
LIMIT_S = 180.0
ROOT = "/mnt/disk/root"
_MAKE_ROOT = f"""
for each in /*; do
    [ "$each" != /mnt ] || continue
    if [ -L "$each" ]; then cp -P "$each" {ROOT}; continue; fi
    [ -d "$each" ] || continue
    mkdir -p {ROOT}"$each"
    mount --rbind "$each" {ROOT}"$each"
done
mkdir -p {ROOT}/mnt/DIR1
"""
RESOURCES = (
    ("fs-dir1", {"kit": "filesystem", "device": "/dev/nbd0", "mount_point": "/mnt/DIR1", "type": "ext4"}),
    (NFS, {"kit": "nfs", "exports": [f"{SHARE} 10.0.0.0/8(rw,no_root_squash)"], "state": STATE}),
    ("ip-vip", {"kit": "ip", "address": f"{VIRTUAL_ADDRESS}/32", "device": "eth0"}),
)
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


class NfsLab:
    """What a test does with the three guests."""

    def __init__(self, lab: VmLab) -> None:
        self.lab = lab
        self.client = lab.guests[CLIENT]

    def begin(self) -> None:
        """Boot, make the filesystem, have both servers ready and none serving."""
        self.lab.start()
        self.client.run("mkfs.ext4", "-q", "/dev/vda")
        self.client.spawn("nbdkit", "-f", "file", "/dev/vda", log="nbdkit.log")
        self._make_ready()

    def _make_ready(self) -> None:
        """Servers that have just booted get their roots and their hands."""
        settings = {"cluster": "lab", "resources": RESOURCES}
        hands = []
        for name in SERVERS:
            guest = self.lab.guests[name]
            guest.shell(f"modprobe nbd; mkdir -p {ROOT}; {_MAKE_ROOT}")
            own = json.dumps({"node": name, **settings})
            argv = ("chroot", ROOT, sys.executable, "-m", "tests.lab.kit_hands", own)
            hands.append(guest.spawn(*argv, log=f"{name}.hands", env={"PYTHONPATH": str(PROJECT)}))
        wait_until(lambda: all("ready" in each.said for each in hands), LIMIT_S, "all hands are ready")

    def ask(self, node: str, do: str, **what: Any) -> Any:
        """What a server's hands answer; an error of a kit is an AssertionError."""
        body = json.dumps({"do": do, **what})
        got = self.lab.guests[node].http(SOCKET, "POST", "/", body, LIMIT_S)
        answer = json.loads(got["text"])
        assert "answer" in answer, answer
        return answer["answer"]

    def serve(self, node: str) -> None:
        """Have a server take the disk, the exports and the virtual address."""
        storage = ADDRESSES[CLIENT][0]
        self.lab.guests[node].run("nbd-client", storage, "/dev/nbd0")
        self.ask(node, "restore")
        gateway = ADDRESSES[node][0]
        self.lab.vpc.run("ip", "route", "replace", f"{VIRTUAL_ADDRESS}/32", "via", gateway)

    def release(self, node: str) -> None:
        """Have a server give all of it up."""
        self.ask(node, "remove")
        self.lab.guests[node].run("nbd-client", "-d", "/dev/nbd0")

    def mount(self, guest: Guest, version: str, what: str = SHARE) -> str:
        """Mount by the virtual address; where."""
        point = f"/mnt/nfs-{version}{what.replace('/', '-')}"
        guest.run("mkdir", "-p", point)
        options = f"vers={version},hard"
        source = f"{VIRTUAL_ADDRESS}:{what}"
        guest.run("mount", "-t", "nfs4", "-o", options, source, point, within_s=LIMIT_S)
        return point

    def write(self, version: str) -> Writer:
        """Have the client lock a file and write it, by this version of NFS; returns once it does."""
        path = f"{self.mount(self.client, version)}/locked-{version}"
        argv = (sys.executable, "-I", "-S", "-c", _WRITER, path)
        writer = Writer(version, self.client.spawn(*argv, log=f"writer-{version}.log"))
        writer.go_on()
        return writer

    def listed(self, path: str) -> list[str]:
        """What the client finds in a folder."""
        return self.client.run("ls", path, within_s=LIMIT_S).split()

    def try_lock(self, node: str, path: str) -> str:
        """ "locked", or "refused" since somebody else has the lock."""
        argv = (sys.executable, "-I", "-S", "-c", _TRY_LOCK, path)
        return self.lab.guests[node].run(*argv, within_s=LIMIT_S).strip()


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
