"""Two servers with the kits of an exported filesystem, and one client that mounts it by the virtual address.

The filesystem's disk is db-03's, reached by NBD from whichever server has its turn, as an EBS volume is.
db-03 is the client as well. No agent runs: the test decides who serves.

The servers' kits live below a root of their own (`tests.lab.own_root`).
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.lab import own_root
from tests.lab.hands import SOCKET
from tests.lab.lab import ADDRESSES, VmLab
from tests.lab.nfs_client import LIMIT_S, SHARE
from tests.lab.own_root import ROOT
from tests.machines.machine import PROJECT, wait_until
from tests.machines.reference import VIRTUAL_ADDRESS

SERVERS, CLIENT = ("db-01", "db-02"), "db-03"
NFS, STATE = "nfs-dir1", "/mnt/DIR1/nfs-state"
DISK_MB = 64
RESOURCES = (
    ("fs-dir1", {"kit": "filesystem", "device": "/dev/nbd0", "mount_point": "/mnt/DIR1", "type": "ext4"}),
    (NFS, {"kit": "nfs", "exports": [f"{SHARE} 10.0.0.0/8(rw,no_root_squash)"], "state": STATE}),
    ("ip-vip", {"kit": "ip", "address": f"{VIRTUAL_ADDRESS}/32", "device": "eth0"}),
)


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
            guest.run("modprobe", "nbd")
            own_root.make(guest)
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
