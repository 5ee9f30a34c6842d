"""A network interface as EC2 describes it, and EC2's calls to move it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recovery_kits.attachment import Attachment, CannotMove, described
from recovery_kits.contract import Ec2, Tools


@dataclass(frozen=True)
class Interface:
    """One network interface at one moment."""

    id: str
    zone: str
    mac: str  # in lower case
    kind: str  # "interface"; "efa", "nat_gateway", …
    managed: bool  # by a service of AWS
    attachment: Attachment | None
    device_index: int | None = None
    dies_with_instance: bool = False  # terminating the instance deletes it

    def why_never(self, zone: str, mac: str) -> tuple[str, str] | None:
        """Why it can't follow a hierarchy to a node in `zone`, and what to do about it."""
        if self.zone != zone:
            why = f"{self.id} is in a subnet of {self.zone}, which it can't leave; this node is in {zone}"
            return why, "use the kits route and ip, which move a virtual IP across zones"
        if self.managed or self.kind not in {"interface", "efa"}:
            return f"{self.id} is a {self.kind} interface of AWS's own", "create one for the cluster"
        if self.mac != mac:
            return f"{self.id} has the MAC address {self.mac}, not {mac}", f'set mac = "{self.mac}"'
        if self.device_index == 0 and self.attachment:
            why = f"{self.id} is the primary interface of {self.attachment.instance}, which can't be detached"
            return why, "create another for the cluster: aws ec2 create-network-interface"
        return None


async def describe(ec2: Ec2, interface: str) -> Interface:
    """One DescribeNetworkInterfaces; raises AwsError."""
    answer = await ec2("describe_network_interfaces", NetworkInterfaceIds=[interface])
    return _read(described("DescribeNetworkInterfaces", answer["NetworkInterfaces"]))


class MovableInterface:
    """The interface for `recovery_kits.attachment.Move`; `seen` is the last reading."""

    def __init__(self, interface: str, mac: str, device_index: int, zone: str, tools: Tools) -> None:
        self.id, self._mac, self._device_index = interface, mac, device_index
        self._zone, self._tools = zone, tools
        self.seen: Interface | None = None

    async def look(self) -> Attachment | None:
        """Where it is attached; raises AwsError, and CannotMove where this node can't have it."""
        self.seen = await describe(self._tools.aws.ec2, self.id)
        if never := self.seen.why_never(self._zone, self._mac):
            raise CannotMove("; ".join(never))
        return self.seen.attachment

    async def attach(self, instance: str) -> None:
        """Ask EC2 to attach it."""
        await self._tools.aws.ec2(
            "attach_network_interface",
            authority=self._tools.authority,
            NetworkInterfaceId=self.id,
            InstanceId=instance,
            DeviceIndex=self._device_index,
        )

    async def detach(self, attachment: Attachment, *, force: bool) -> None:
        """Ask EC2 to end that attachment, and no other."""
        await self._tools.aws.ec2(
            "detach_network_interface",
            authority=self._tools.authority,
            AttachmentId=attachment.id,
            Force=force,
        )


def _read(told: Mapping[str, Any]) -> Interface:
    held = told.get("Attachment") or {}
    state = held.get("Status", "detached")
    attached = state != "detached"
    return Interface(
        id=told["NetworkInterfaceId"],
        zone=told["AvailabilityZone"],
        mac=told["MacAddress"].lower(),
        kind=told.get("InterfaceType", "interface"),
        managed=told.get("RequesterManaged", False),
        attachment=Attachment(held.get("InstanceId", ""), state, held["AttachmentId"]) if attached else None,
        device_index=held.get("DeviceIndex") if attached else None,
        dies_with_instance=attached and held.get("DeleteOnTermination", False),
    )
