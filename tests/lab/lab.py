"""The lab: a VPC, and guests in it with the reference cluster's addresses.

    with VmLab() as lab:
        lab.start()
        lab.guests["db-01"].shell("mkfs.xfs -q /dev/vda && mount /dev/vda /mnt/DIR1")
        lab.power_cut("db-01", keep=some(seed=7))
        lab.start("db-01")

Networks are cut between the guests and the VPC (`cut`, `part`, `mend`), so that a guest sees its carrier
up; `Guest.carrier` takes that away as well.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from ipaddress import IPv4Interface
from pathlib import Path

from tests.lab import disk, image
from tests.lab.disk import Keep
from tests.lab.guest import BOOT_LIMIT_S, Guest
from tests.lab.qemu import Card
from tests.machines.lifetime import Lifetime
from tests.machines.machine import Machine
from tests.machines.network import Device, Network

DISK_MB = 320  # xfs wants 300 at least; the image is sparse
NODES = ("db-01", "db-02")
ADDRESSES = {
    "db-01": ("10.0.3.4", "10.0.12.4"),
    "db-02": ("10.0.6.4", "10.0.14.4"),
    "db-03": ("10.0.7.4", "10.0.15.4"),
}


def devices(node: str) -> tuple[Device, ...]:
    """The network devices of a node of the reference cluster."""
    number = list(ADDRESSES).index(node) + 1
    return tuple(
        Device(f"eth{index}", IPv4Interface(f"{address}/24"), f"02:00:00:00:{number:02x}:{index:02x}")
        for index, address in enumerate(ADDRESSES[node])
    )


def cards(network: Network, node: str) -> tuple[Card, ...]:
    """Network cards for the devices that `network` has for this node, each with a new tap."""
    return tuple(Card(each.name, tap, each.mac) for each, tap in network.add_taps(node))


class VmLab(Lifetime):
    """Guests and their network. Use it as a context manager; raises image.NotBuilt."""

    def __init__(
        self, nodes: tuple[str, ...] = NODES, disk_mb: int = DISK_MB, root: Path | None = None
    ) -> None:
        """With `root`, an image, the nodes have one of their own, as `Guest` says."""
        image.require()
        self.nodes = nodes
        self.directory = Path(tempfile.mkdtemp(prefix="kage-vm-lab-"))
        self.logs = self.directory / "logs"
        self.vpc = Machine("vpc", self.logs)
        self.guests: dict[str, Guest] = {}
        self.network: Network
        self._disk_mb, self._root = disk_mb, root
        self._cards: dict[str, tuple[Card, ...]] = {}

    def _build(self) -> None:
        self.vpc.boot()
        self.network = Network(self.vpc, ())
        for name in self.nodes:
            self.guests[name] = Guest(name, self.vpc, self.directory, self._disk_mb, self._root)
            self.network.add(name, devices(name))
            self._cards[name] = cards(self.network, name)

    def close(self) -> None:
        """Cut all power and forget everything."""
        with ExitStack() as ends:  # each of them, whatever the others raise
            ends.callback(shutil.rmtree, self.directory, ignore_errors=True)
            ends.callback(self.vpc.power_off)
            for guest in self.guests.values():
                ends.callback(guest.power_off)

    def start(self, *nodes: str, within_s: float = BOOT_LIMIT_S) -> None:
        """Boot guests, all if none is named, and return once they are up and connected."""
        for name in nodes or self.nodes:
            self.guests[name].boot(self._cards[name])
        for name in nodes or self.nodes:
            self.guests[name].wait_up(within_s)
            self.network.set_up(self.guests[name])

    def power_cut(self, node: str, keep: Keep = disk.nothing) -> None:
        """As `Guest.power_cut`."""
        self.guests[node].power_cut(keep)

    def reboot(self, node: str) -> None:
        """Let the kernel restart, at once, and return once it is up again; the disks lose nothing."""
        self.guests[node].restart()
        self.start(node)

    def cut(self, node: str, *device_names: str) -> None:
        """Lose everything that a node sends or gets by these devices; by all if none is named."""
        self.network.cut(node, *device_names)

    def part(self, *nodes: str) -> None:
        """Lose everything between these nodes; the host still reaches them."""
        self.network.part(*nodes)

    def mend(self, node: str | None = None) -> None:
        """End what cut off one node, or any, and every parting."""
        self.network.heal(node)

    def disk(self, node: str) -> Path:
        """The raw image of a node's /dev/vda, to look at while the guest is off."""
        return self.guests[node].data.image
