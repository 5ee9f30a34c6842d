"""The VPC's wires: each machine's devices end on the VPC, which routes between them.

Faults live on the VPC's side as nftables rules, so that a node sees its carrier up, as on EC2.
The whole rule set is written at once on every change: what `faults` says is what holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Interface

from tests.machines.machine import Machine


@dataclass(frozen=True)
class Device:
    """One network device of a machine. The gateway is the subnet's first address."""

    name: str  # "eth0"
    address: IPv4Interface  # 10.0.3.4/24
    mac: str

    @property
    def gateway(self) -> str:
        """The VPC's address on this subnet."""
        return str(self.address.network[1])


@dataclass(frozen=True)
class Fault:
    """Packets lost on one device: sent by the machine ("from"), to it ("to"), or both."""

    machine: str
    device: str
    direction: str = "both"
    loss_percent: float = 100.0


class Network:
    """The VPC and the machines plugged into it."""

    def __init__(self, vpc: Machine) -> None:
        self._vpc = vpc
        self.faults: tuple[Fault, ...] = ()

    def start(self, addresses: tuple[str, ...]) -> None:
        """Make the (booted) VPC a router that itself has `addresses`, e.g. the clients' 10.0.1.10."""
        settings = (
            "net.ipv4.ip_forward=1",
            "net.ipv4.conf.all.rp_filter=0",
            "net.ipv4.conf.default.rp_filter=0",
        )
        _set(self._vpc, settings)
        _ip(self._vpc, *(f"address add {address}/32 dev lo" for address in addresses))
        self.set_faults()

    def plug_in(self, machine: Machine, devices: tuple[Device, ...]) -> None:
        """Connect a freshly booted machine: the first device has the default route.

        What is sent from a device's own address leaves by that device (as ec2-net-utils sets it up).
        """
        wires = [(device, f"{machine.name}-{device.name}") for device in devices]
        self.unplug(machine, devices)
        pid = machine.pid_inside_outer()
        _set(machine, ("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0"))
        for device, wire in wires:
            peer = f"peer name {device.name} address {device.mac} netns {pid}"
            _ip(
                self._vpc,
                f"link add {wire} type veth {peer}",
                f"address add {device.gateway}/{device.address.network.prefixlen} dev {wire}",
                f"link set {wire} up",
            )
        for table, device in enumerate(devices, start=1):
            _ip(
                machine,
                f"link set {device.name} up",
                f"address add {device.address} dev {device.name}",
                f"route add default via {device.gateway} dev {device.name} metric {table}",
                f"route add default via {device.gateway} dev {device.name} table {table}",
                f"rule add from {device.address.ip} lookup {table}",
            )

    def unplug(self, machine: Machine, devices: tuple[Device, ...]) -> None:
        """Take a machine's wires away, if they are still there after a power cut."""
        for device in devices:
            self._vpc.run("ip", "link", "delete", f"{machine.name}-{device.name}", check=False)

    def set_faults(self, *faults: Fault) -> None:
        """Replace all faults by these; none heals the network."""
        self.faults = faults
        rules = ["table inet faults { }", "delete table inet faults", "table inet faults {"]
        for direction, hook, key in (("from", "prerouting", "iifname"), ("to", "postrouting", "oifname")):
            rules.append(f"chain {hook} {{ type filter hook {hook} priority -300; policy accept;")
            rules += [_rule(fault, key) for fault in faults if fault.direction in (direction, "both")]
            rules.append("}")
        self._vpc.run("nft", "-f", "-", stdin="\n".join([*rules, "}"]))

    def add_faults(self, *faults: Fault) -> None:
        """These as well as those that are there."""
        self.set_faults(*self.faults, *faults)


def _rule(fault: Fault, key: str) -> str:
    per_mille = round(fault.loss_percent * 10)
    sometimes = "" if per_mille >= 1000 else f"numgen random mod 1000 < {per_mille} "
    return f'{key} "{fault.machine}-{fault.device}" {sometimes}drop'


def _ip(machine: Machine, *commands: str) -> None:
    machine.run("ip", "-batch", "-", stdin="\n".join(commands) + "\n")


def _set(machine: Machine, settings: tuple[str, ...]) -> None:
    script = "\n".join(
        f"echo {value} > /proc/sys/{key.replace('.', '/')}"
        for key, value in (setting.split("=") for setting in settings)
    )
    machine.run("sh", "-ec", script)
