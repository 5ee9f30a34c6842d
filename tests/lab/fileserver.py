"""examples/nfs with virtual machines: two servers with agents, and a client machine of an app subnet.

The servers' agents live below a root of their own (`tests.lab.own_root`). The client reaches them by the
VPC's route table of its subnet, as every app server does.
"""

from __future__ import annotations

from ipaddress import IPv4Interface

from tests.lab import own_root
from tests.lab.guest import BOOT_LIMIT_S, Guest
from tests.lab.lab import cards
from tests.lab.nfs_client import SHARE
from tests.lab.own_root import ROOT
from tests.lab.replicated import TAG, Replicated
from tests.machines.machine import PROJECT
from tests.machines.network import Device
from tests.machines.reference import HIERARCHY, NODES, RESOURCE, VIRTUAL_ADDRESS, agent_argv, environment
from tests.machines.settings import Settings, overlay
from tests.machines.supervisor import Supervised

EXAMPLE = PROJECT / "examples/nfs/cluster.toml"
NFS = "nfs-dir1"
ORDER = (TAG, "fs-dir1", NFS, "route-files", "ip-files")  # children first
CLIENT = "app-01"
# What the lab calls otherwise.
_NAMES = {
    "hierarchy.files": f"hierarchy.{HIERARCHY}",
    "files-01": NODES[0],
    "files-02": NODES[1],
    "10.0.3.5": "10.0.3.4",
    "10.0.12.5": "10.0.12.4",
    "10.0.6.5": "10.0.6.4",
    "10.0.14.5": "10.0.14.4",
    "10.1.0.20": VIRTUAL_ADDRESS,
    "(rw)": "(rw,no_root_squash)",  # the client's programs are root's
}
_SETTINGS: Settings = {f"{RESOURCE}.{tag}": None for tag in ("cyde_5_0", "cyss_cbgrn")}


class FileServers(Replicated):
    """Use it as a context manager; `begin` puts the data on the mirror, `client` is a machine that is up."""

    order = ORDER

    def __init__(self) -> None:
        self.client: Guest
        super().__init__(_SETTINGS)

    def _original(self) -> str:
        text = EXAMPLE.read_text()
        for theirs, ours in _NAMES.items():
            text = text.replace(theirs, ours)
        return overlay(text, {f"{RESOURCE}.route-files.route_tables": self.world.route_tables})

    def _supervised(self, name: str, **env: str) -> Supervised:
        return Supervised(self.machines[name], ("chroot", ROOT, *agent_argv(name)), environment(name) | env)

    def _build(self) -> None:
        super()._build()
        self.client = Guest(CLIENT, self.vpc, self.directory, disk_mb=1)
        device = Device("eth0", IPv4Interface("10.0.1.11/24"), "02:00:00:00:0a:01")
        self.network.add(CLIENT, (device,))
        self.client.boot(cards(self.network, CLIENT))
        self.client.wait_up(BOOT_LIMIT_S)
        self.network.set_up(self.client)

    def boot(self, *nodes: str) -> None:
        """Each with its root, which doesn't outlive its power."""
        super().boot(*nodes)
        for name in nodes or NODES:
            own_root.make(self.machines[name])

    def close(self) -> None:
        """The client as well."""
        if "client" in vars(self):
            self.client.power_off()
        super().close()

    def exported(self, version_file: str) -> str:
        """Where a server has a file of the exported directory."""
        return f"{ROOT}{SHARE}/{version_file}"
