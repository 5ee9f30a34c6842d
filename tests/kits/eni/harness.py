"""An eni kit on nodes of one zone, with a /sys of their own, driven from plain tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.core.states import Health
from recovery_kits.contract import ALWAYS, Authority, Check, CommandFailed, Finding
from recovery_kits.eni import EniKit, EniParameters
from tests.kits.attachment.harness import Zone

UP, DOWN = "0x1003", "0x1002"  # /sys/class/net/*/flags


def make_link(root: Path, name: str, mac: str, flags: str = DOWN, *, real: bool = True) -> Path:
    """A device in a /sys; one that isn't `real` is a bridge or a VLAN."""
    folder = root / "sys/class/net" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "address").write_text(f"{mac}\n")
    (folder / "flags").write_text(f"{flags}\n")
    if real:
        (folder / "device").mkdir(exist_ok=True)
    return folder


class FakeIp:
    """ip(8) for one /sys: `ip link set dev NAME up|down`. `fails`: with this; `idle`: it does nothing."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.calls: list[str] = []
        self.fails: CommandFailed | None = None
        self.idle = False

    async def __call__(
        self, *argv: str, env: Mapping[str, str] | None = None, log: Callable[[str], None] | None = None
    ) -> str:
        """Do it."""
        assert argv[:4] == ("ip", "link", "set", "dev")
        name, state = argv[4:]
        self.calls.append(f"{name} {state}")
        if self.fails:
            raise self.fails
        if not self.idle:
            flags = UP if state == "up" else DOWN
            (self._root / "sys/class/net" / name / "flags").write_text(f"{flags}\n")
        return ""


class Card:
    """One interface, which the nodes' kits move."""

    def __init__(self, zone: Zone, folder: Path) -> None:
        self.zone, self._folder = zone, folder
        with zone.scene() as client:
            made = client.create_network_interface(SubnetId=zone.world.subnets["db-01-1"])["NetworkInterface"]
        self.id, self.mac = made["NetworkInterfaceId"], made["MacAddress"]
        self.ip = {node: FakeIp(self.root(node)) for node in ("db-01", "db-03")}
        for node in self.ip:
            self.show(node)

    def root(self, node: str) -> Path:
        """What is / to the node's kit."""
        return self._folder / node

    def show(self, node: str, flags: str = DOWN) -> None:
        """The device appears on the node."""
        make_link(self.root(node), "eth2", self.mac, flags)

    def hide(self, node: str) -> None:
        """The device goes."""
        shutil.rmtree(self.root(node) / "sys/class/net/eth2")

    def is_up(self, node: str) -> bool:
        """Whether its link is set up."""
        return (self.root(node) / "sys/class/net/eth2/flags").read_text() == f"{UP}\n"

    def attach(self, node: str, index: int = 2) -> None:
        """Set the scene."""
        with self.zone.scene() as client:
            client.attach_network_interface(
                NetworkInterfaceId=self.id, InstanceId=self.zone.instances[node], DeviceIndex=index
            )

    def described(self, **changes: Any) -> dict[str, Any]:
        """DescribeNetworkInterfaces' answer, with `changes` to the interface, or to its `attachment`."""
        of_attachment = changes.pop("attachment", {})
        with self.zone.scene() as client:
            answer: Any = client.describe_network_interfaces(NetworkInterfaceIds=[self.id])
        answer["NetworkInterfaces"][0].update(changes)
        if of_attachment:
            answer["NetworkInterfaces"][0]["Attachment"].update(of_attachment)
        return dict(answer)

    def at(self) -> str | None:
        """The name of the instance that has it; from here on AWS works again."""
        with self.zone.scene() as client:
            (seen,) = client.describe_network_interfaces(NetworkInterfaceIds=[self.id])["NetworkInterfaces"]
        names = {instance: name for name, instance in self.zone.instances.items()}
        attached = seen.get("Attachment", {}).get("InstanceId")
        return names[attached] if attached else None

    def kit(self, node: str, *, authority: Authority = ALWAYS, in_zone: str = "a", **changes: Any) -> EniKit:
        """The node's kit."""
        usual: dict[str, Any] = {
            "interface": self.id,
            "mac": self.mac,
            "device_index": 2,
            "wait_ms": 5_000,
        }
        tools = self.zone.tools(node, self.ip[node], authority, in_zone)
        return EniKit(EniParameters(**(usual | changes)), tools, root=self.root(node))

    def restore(self, node: str, **changes: Any) -> None:
        """Run the action to its end."""
        self.zone.agent.run(self.kit(node, **changes).restore())

    def remove(self, node: str, **changes: Any) -> None:
        """Run the action to its end."""
        self.zone.agent.run(self.kit(node, **changes).remove())

    def check(self, node: str, **changes: Any) -> Check:
        """The answer of quick_check."""
        return self.zone.agent.run(self.kit(node, **changes).quick_check())

    def health(self, node: str) -> Health:
        """That of quick_check."""
        return self.check(node).health

    def validate(self, node: str, **changes: Any) -> list[Finding]:
        """What validate finds."""
        return self.zone.agent.run(self.kit(node, **changes).validate())
