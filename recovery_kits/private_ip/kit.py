"""A secondary private IPv4 address, assigned to this node's ENI; the `ip` kit puts it on the device.

Its invariants:
- a change goes out by this node's authority: without it nothing is sent;
- a change counts once AWS shows the address at this ENI, whatever was answered to the change itself:
  moving an address is asynchronous;
- EC2 has no compare-and-set, so a former owner's change may land after this node's: `reassert` writes again
  without looking first;
- `remove` calls nothing: the address belongs to whoever takes it next, and AWS may be out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from agent.aws import AwsError
from recovery_kits import verdicts
from recovery_kits.contract import Check, Finding, Kit, Permission
from recovery_kits.interface import InterfaceId, find_interface
from recovery_kits.private_ip.advice import Surroundings
from recovery_kits.settling import settle

SETTLE_S = (0.0, 0.3, 0.6, 1.2, 2.4)  # waits before each reading back


@dataclass(frozen=True, kw_only=True)
class PrivateIpParameters:
    """[hierarchy.….resource.…] with kit = "private-ip"."""

    address: Annotated[
        IPv4Address,
        Meta(
            description="The address, of the subnet in which every node has its ENI.", examples=["10.0.3.50"]
        ),
    ]
    device: Annotated[
        str, Meta(description="The device whose ENI the address is assigned to.", min_length=1)
    ] = "eth0"
    interface: Annotated[
        InterfaceId | None, Meta(description="The ENI itself, in the place of the device's.")
    ] = None


class PrivateIpKit(Kit[PrivateIpParameters]):
    """A secondary private address, e.g. 10.0.3.50, at the ENI of the active node."""

    kind = "private-ip"
    aws_services = ("ec2",)
    reasserts = True
    summary = "a secondary private address that moves between nodes of one subnet"
    Parameters: ClassVar[type[Any]] = PrivateIpParameters
    default_check_interval_ms = 30_000  # at most two Describe calls a minute

    @classmethod
    def permissions(cls, parameters: PrivateIpParameters) -> tuple[Permission, ...]:
        """Assign addresses to this ENI, as far as the parameters name it; see it and what is around it."""
        interface = parameters.interface or "*"
        return (
            Permission(
                why="TakePrivateIp",
                actions=("ec2:AssignPrivateIpAddresses",),
                resources=(f"arn:{{partition}}:ec2:{{region}}:{{account}}:network-interface/{interface}",),
            ),
            Permission(
                why="SeePrivateIp",
                actions=(
                    "ec2:DescribeInstanceTypes",
                    "ec2:DescribeInstances",
                    "ec2:DescribeNetworkInterfaces",
                    "ec2:DescribeSubnets",
                ),
            ),
        )

    async def restore(self) -> None:
        """Assign the address to this node's ENI, from wherever it is, and read back that it is there.

        Raises KitError where AWS refuses it or there is no such device; Unanswered where nobody could tell,
        where AWS hasn't moved it yet, and where this node may not act any more.
        """
        try:
            interface = await self._interface()
        except AwsError as error:
            raise verdicts.failure(self, "restore", error) from error
        await settle(
            self,
            "restore",
            lambda: self._assign(interface),
            lambda: self._why_not(interface),
            SETTLE_S,
        )

    async def remove(self) -> None:
        """Nothing: the address is left to the next owner."""

    async def recover(self) -> None:
        """Take it back."""
        await self.restore()

    async def quick_check(self) -> Check:
        """One DescribeNetworkInterfaces; UNKNOWN unless AWS answered it."""
        try:
            why = await self._why_not(await self._interface())
        except AwsError as error:
            return verdicts.check(error)
        return Check.failed(why) if why else Check.ok()

    async def validate(self) -> list[Finding]:
        """Whether the ENI could take the address: see advice.py."""
        peers = {node: paths for node, paths in self.tools.site.nodes.items() if node != self.tools.node}
        try:
            interface = await self._interface()
            return await Surroundings(self.tools.aws, self.parameters.address, interface, peers).findings()
        except AwsError as error:
            return [verdicts.finding(error)]

    async def _interface(self) -> str:
        return await find_interface(self.tools.aws, self.parameters.interface, self.parameters.device)

    async def _assign(self, interface: str) -> dict[str, Any]:
        return await self.tools.aws.ec2(
            "assign_private_ip_addresses",
            authority=self.tools.authority,
            NetworkInterfaceId=interface,
            PrivateIpAddresses=[str(self.parameters.address)],
            AllowReassignment=True,
        )

    async def _why_not(self, interface: str) -> str | None:
        """What is wrong unless `interface` has the address; raises AwsError."""
        address = str(self.parameters.address)
        # By address and not by ENI, so that one call says as well where else it is.
        having = [{"Name": "addresses.private-ip-address", "Values": [address]}]
        answer = await self.tools.aws.ec2("describe_network_interfaces", Filters=having)
        at = {each["NetworkInterfaceId"]: each["VpcId"] for each in answer["NetworkInterfaces"]}
        if interface in at:
            return None
        elsewhere = ", ".join(f"{eni} of {vpc}" for eni, vpc in sorted(at.items()))
        return f"{address} is at {elsewhere or 'no ENI'}, not at {interface}"
