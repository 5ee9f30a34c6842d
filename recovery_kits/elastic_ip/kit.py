"""An Elastic IP, associated with this node's ENI.

Its invariants:
- a change goes out by this node's authority: without it nothing is sent;
- a change that nobody answered is settled by reading back, not by its error;
- the address is taken from wherever it is: that is what a failover asks for. EC2 has no compare-and-set, so a
  former owner's change may land after this node's: `reassert` writes again without looking first;
- `remove` calls nothing: the address belongs to whoever takes it next, and AWS may be out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from agent.aws import AwsError, AwsFault
from agent.config.errors import BadParameter
from recovery_kits import verdicts
from recovery_kits.contract import ALWAYS, Authority, Check, Finding, Kit, Permission
from recovery_kits.elastic_ip.address import Address, read_address
from recovery_kits.elastic_ip.advice import address_findings, interface_findings
from recovery_kits.interface import InterfaceId, find_interface
from recovery_kits.patience import patiently
from recovery_kits.settling import settle

SETTLE_S = (0.0, 0.3, 0.6)  # waits before each reading back: EC2 may show a change late
AllocationId = Annotated[
    str, Meta(pattern=r"^eipalloc-[0-9a-f]{8,17}\Z", examples=["eipalloc-0123456789abcdef0"])
]


@dataclass(frozen=True, kw_only=True)
class ElasticIpParameters:
    """[hierarchy.….resource.…] with kit = "elastic-ip"."""

    allocation_id: Annotated[
        AllocationId | None, Meta(description="The Elastic IP, by its allocation; this or `public_ip`.")
    ] = None
    public_ip: Annotated[
        IPv4Address | None, Meta(description="The Elastic IP itself, in the place of `allocation_id`.")
    ] = None
    device: Annotated[str, Meta(description="The device whose ENI the address leads to.", min_length=1)] = (
        "eth0"
    )
    interface: Annotated[
        InterfaceId | None, Meta(description="The ENI itself, in the place of the device's.")
    ] = None
    private_address: Annotated[
        IPv4Address | None,
        Meta(description="Which of the ENI's own addresses it leads to; without: the primary one."),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what names no address, or two."""
        if self.allocation_id and self.public_ip:
            raise BadParameter("public_ip", "leave it out: allocation_id names the address already")
        if not (self.allocation_id or self.public_ip):
            raise BadParameter("allocation_id", "missing; write the address's allocation, or public_ip")


class ElasticIpKit(Kit[ElasticIpParameters]):
    """An Elastic IP, e.g. 203.0.113.10, in front of the ENI of the active node."""

    kind = "elastic-ip"
    aws_services = ("ec2",)
    reasserts = True
    summary = "an Elastic IP that leads to the active node"
    Parameters: ClassVar[type[Any]] = ElasticIpParameters
    default_check_interval_ms = 30_000  # at most two Describe calls a minute

    @classmethod
    def permissions(cls, parameters: ElasticIpParameters) -> tuple[Permission, ...]:
        """Associate this address with this ENI, as far as the parameters name it; see both."""
        arn = "arn:{partition}:ec2:{region}:{account}:"
        interface = f"{arn}network-interface/{parameters.interface or '*'}"
        associate = ("ec2:AssociateAddress",)
        address = (
            Permission(
                why="MoveElasticIp",
                actions=associate,
                resources=(f"{arn}elastic-ip/{parameters.allocation_id}",),
            )
            if parameters.allocation_id
            else Permission(
                why="MoveElasticIp",
                actions=associate,
                resources=(f"{arn}elastic-ip/*",),
                conditions={"StringEquals": {"ec2:PublicIpAddress": str(parameters.public_ip)}},
            )
        )
        return (
            address,
            Permission(why="TakeElasticIp", actions=associate, resources=(interface,)),
            Permission(
                why="SeeElasticIp",
                actions=(
                    "ec2:DescribeAddresses",
                    "ec2:DescribeInternetGateways",
                    "ec2:DescribeNetworkInterfaces",
                ),
            ),
        )

    async def restore(self) -> None:
        """Associate the address with this node's ENI, from wherever it is, and read back that it is there.

        Raises KitError where AWS refuses it or there is no such address or device; Unanswered where nobody
        could tell, and where this node may not act any more.
        """
        try:
            interface = await self._interface()
            allocation = self.parameters.allocation_id or (await patiently(self._look)).allocation
        except AwsError as error:
            raise verdicts.failure(self, "restore", error) from error
        await settle(
            self,
            "restore",
            lambda: self._associate(allocation, interface, self.tools.authority),
            lambda: self._why_not(interface),
            SETTLE_S,
        )

    async def remove(self) -> None:
        """Nothing: the address is left to the next owner."""

    async def recover(self) -> None:
        """Take it back."""
        await self.restore()

    async def quick_check(self) -> Check:
        """One DescribeAddresses; UNKNOWN unless AWS answered it."""
        try:
            why = await self._why_not(await self._interface())
        except AwsError as error:
            return verdicts.check(error)
        return Check.failed(why) if why else Check.ok()

    async def validate(self) -> list[Finding]:
        """Whether address and ENI exist and can be joined, and whether this node is permitted to do so."""
        try:
            return await self._findings()
        except AwsError as error:
            return [verdicts.finding(error)]

    async def _findings(self) -> list[Finding]:
        interface = await self._interface()
        address = await self._look()
        findings = address_findings(address) + await interface_findings(
            self.tools.aws, address, interface, self.parameters.private_address
        )
        if not findings:  # for those it would be refused anyhow
            await self._try_dry(address.allocation, interface)
        return findings

    async def _interface(self) -> str:
        return await find_interface(self.tools.aws, self.parameters.interface, self.parameters.device)

    async def _associate(
        self, allocation: str, interface: str, authority: Authority, **more: Any
    ) -> dict[str, Any]:
        private = self.parameters.private_address
        if private:
            more["PrivateIpAddress"] = str(private)
        return await self.tools.aws.ec2(
            "associate_address",
            authority=authority,
            AllocationId=allocation,
            NetworkInterfaceId=interface,
            AllowReassociation=True,
            **more,
        )

    async def _try_dry(self, allocation: str, interface: str) -> None:
        """Return if AWS would do it; raises AwsError. Changes nothing, so that any node may ask."""
        try:
            await self._associate(allocation, interface, ALWAYS, DryRun=True)
        except AwsError as error:
            if error.code != "DryRunOperation":  # "request would have succeeded"
                raise

    async def _why_not(self, interface: str) -> str | None:
        return (await self._look()).why_not(interface, self.parameters.private_address)

    async def _look(self) -> Address:
        """The address as it is now; raises AwsError, NOT_FOUND when there is none."""
        public, allocation = self.parameters.public_ip, self.parameters.allocation_id
        name, value = ("public-ip", str(public)) if public else ("allocation-id", str(allocation))
        filters = [{"Name": name, "Values": [value]}]
        answer = await self.tools.aws.ec2("describe_addresses", Filters=filters)
        if not answer["Addresses"]:
            raise AwsError(
                AwsFault.NOT_FOUND,
                "DescribeAddresses",
                "NoSuchAddress",
                f"{value} is no Elastic IP of this account in this region",
                "`aws ec2 describe-addresses` lists those there are",
            )
        return read_address(answer["Addresses"][0])
