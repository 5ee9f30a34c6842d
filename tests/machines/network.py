"""The VPC's subnets: one bridge for each device of each machine, and the VPC routes between them.

Faults live on the VPC's side as nftables rules, so that a node sees its carrier up, as on EC2.
The whole rule set is written at once on every change: what `faults` says is what holds. IMDS is
the hypervisor's, so no fault reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface
from itertools import permutations
from typing import Literal

from tests.machines.machine import Machine
from tests.machines.runs import Runs

METADATA_ADDRESS = "169.254.169.254"


@dataclass(frozen=True)
class Device:
    """One network device of a machine, on a subnet whose first address is the gateway's."""

    name: str  # "eth0"
    address: IPv4Interface  # 10.0.3.4/24
    mac: str

    @property
    def gateway(self) -> IPv4Interface:
        """The VPC's address on this subnet."""
        network = self.address.network
        return IPv4Interface(f"{network[1]}/{network.prefixlen}")


@dataclass(frozen=True)
class Fault:
    """Packets lost on one device: sent by the machine ("from"), to it ("to"), or both."""

    machine: str
    device: str
    direction: Literal["from", "to", "both"] = "both"
    loss_percent: float = 100.0


class Network:
    """A booted VPC and the devices that machines plug into it."""

    def __init__(self, vpc: Machine, own: tuple[str, ...]) -> None:
        """`own` are addresses of the VPC itself, such as the clients'."""
        self._vpc = vpc
        self._devices: dict[str, tuple[Device, ...]] = {}
        self._parted: tuple[str, ...] = ()
        _configure(vpc, {"ip_forward": 1, "conf/all/rp_filter": 0, "conf/default/rp_filter": 0})
        _ip(vpc, *(f"address add {address}/32 dev lo" for address in (*own, METADATA_ADDRESS)))
        self.set_faults()

    def add(self, machine: str, devices: tuple[Device, ...]) -> None:
        """Make the subnets that the machine of this name plugs into."""
        self._devices[machine] = devices
        for device in devices:
            subnet = _subnet(machine, device.name)
            _ip(
                self._vpc,
                f"link add {subnet} type bridge",
                f"address add {device.gateway} dev {subnet}",
                f"link set {subnet} up",
            )

    def plug_in(self, machine: Machine) -> None:
        """Connect a freshly booted machine."""
        pid = machine.pid_in_outer()
        for device in self._devices[machine.name]:
            subnet = _subnet(machine.name, device.name)
            port = _port(subnet)
            # After a power cut the kernel takes the old wire away in its own time.
            self._vpc.run("ip", "link", "delete", port, check=False)
            _ip(
                self._vpc,
                f"link add {port} type veth peer name {device.name} address {device.mac} netns {pid}",
                f"link set {port} master {subnet} up",
            )
        self.set_up(machine)

    def add_taps(self, machine: str) -> tuple[tuple[Device, str], ...]:
        """For a virtual machine: each device with the VPC's end of its wire, which its hypervisor opens."""
        for device in self._devices[machine]:
            subnet = _subnet(machine, device.name)
            port = _port(subnet)
            _ip(self._vpc, f"tuntap add {port} mode tap", f"link set {port} master {subnet} up")
        return tuple((each, _port(_subnet(machine, each.name))) for each in self._devices[machine])

    def set_up(self, machine: Runs) -> None:
        """Give the devices of a connected machine their addresses; the first has the default route.

        What is sent from a device's own address leaves by that device, as ec2-net-utils sets it up.
        """
        _configure(machine, {"conf/all/rp_filter": 0, "conf/default/rp_filter": 0})
        for table, device in enumerate(self._devices[machine.name], start=1):
            gateway = f"via {device.gateway.ip} dev {device.name}"
            _ip(
                machine,
                f"link set {device.name} up",
                f"address add {device.address} dev {device.name}",
                f"route add default {gateway} metric {table}",
                f"route add default {gateway} table {table}",
                f"rule add from {device.address.ip} lookup {table}",
            )

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults there are."""
        return self._faults

    def set_faults(self, *faults: Fault) -> None:
        """Put these faults in the place of all others; none heals the network."""
        rules = ["table inet faults {}", "delete table inet faults", "table inet faults {"]
        rules += _chain("prerouting", "iifname", "daddr", [each for each in faults if each.direction != "to"])
        rules += _chain(
            "postrouting", "oifname", "saddr", [each for each in faults if each.direction != "from"]
        )
        rules += self._parting()
        self._vpc.run("nft", "-f", "-", stdin="\n".join([*rules, "}", ""]))
        self._faults = faults

    def _parting(self) -> list[str]:
        pairs = permutations(self._parted, 2)
        drops = [f'iifname "{one}-*" oifname "{other}-*" drop' for one, other in pairs]
        return ["chain forward { type filter hook forward priority -300; policy accept;", *drops, "}"]

    def add_faults(self, *faults: Fault) -> None:
        """These as well as those that are there."""
        self.set_faults(*self.faults, *faults)

    def cut(self, machine: str, *devices: str) -> None:
        """Lose everything that the machine sends or gets by these devices; by all if none is named."""
        names = devices or tuple(device.name for device in self._devices[machine])
        self.add_faults(*(Fault(machine, name) for name in names))

    def part(self, *machines: str) -> None:
        """Lose everything between these machines; what they send elsewhere arrives."""
        self._parted = machines
        self.set_faults(*self.faults)

    def heal(self, machine: str | None = None) -> None:
        """Take the faults of one machine away, or all, and every parting."""
        self._parted = ()
        self.set_faults(*(each for each in self.faults if machine not in (None, each.machine)))


def _subnet(machine: str, device: str) -> str:
    return f"{machine}-{device}"


def _port(subnet: str) -> str:
    return f"{subnet}.p"


def _chain(hook: str, device_key: str, metadata_key: str, faults: list[Fault]) -> list[str]:
    rules = []
    for fault in faults:
        per_mille = round(fault.loss_percent * 10)
        sometimes = "" if per_mille >= 1000 else f"numgen random mod 1000 < {per_mille} "
        rules.append(f'{device_key} "{_subnet(fault.machine, fault.device)}" {sometimes}drop')
    head = f"chain {hook} {{ type filter hook {hook} priority -300; policy accept;"
    return [head, f"ip {metadata_key} {METADATA_ADDRESS} accept", *rules, "}"]


def _ip(machine: Runs, *commands: str) -> None:
    machine.run("ip", "-batch", "-", stdin="\n".join(commands) + "\n")


def _configure(machine: Runs, settings: Mapping[str, int]) -> None:
    script = "".join(f"echo {value} > /proc/sys/net/ipv4/{key}\n" for key, value in settings.items())
    machine.run("sh", "-ec", script)
