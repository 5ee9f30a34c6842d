"""A network interface (ENI) that is attached to the active node, within one availability zone.

Its invariants:
- what it takes from whom, and when by force: recovery_kits.attachment;
- nothing is detached anywhere before it is known that the interface can be attached here;
- `remove` needs no network: with its link down the interface carries nothing. It stays attached; to detach
  it is for the next owner, which has the authority to;
- addresses are not this kit's: they come by DHCP, or by the kit ip above.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from agent.aws import AwsError, AwsFault
from recovery_kits import verdicts
from recovery_kits.attachment import CannotMove, Move, until_there
from recovery_kits.contract import Check, CommandFailed, Finding, Kit, Permission, Tools
from recovery_kits.eni.advice import interface_findings
from recovery_kits.eni.interface import Interface, MovableInterface, describe
from recovery_kits.eni.link import Link, find_link
from recovery_kits.interface import InterfaceId


@dataclass(frozen=True, kw_only=True)
class EniParameters:
    """[hierarchy.….resource.…] with kit = "eni"."""

    interface: Annotated[InterfaceId, Meta(description="The ENI, in the zone that all nodes are in.")]
    mac: Annotated[
        str,
        Meta(
            description="Its MAC address: by this a node knows the device without asking AWS.",
            pattern=r"^([0-9a-f]{2}:){5}[0-9a-f]{2}\Z",
            examples=["0a:1b:2c:3d:4e:5f"],
        ),
    ]
    device_index: Annotated[
        int, Meta(description="EC2's number for the attachment, free on every node.", ge=1, le=63)
    ] = 1
    wait_ms: Annotated[
        int,
        Meta(description="How long EC2 may take to detach it, to attach it and to show the device.", ge=0),
    ] = 120_000


class EniKit(Kit[EniParameters]):
    """One interface, e.g. eni-0123456789abcdef0."""

    kind = "eni"
    aws_services = ("ec2",)
    summary = "a network interface that is attached to the active node, within one availability zone"
    Parameters: ClassVar[type[Any]] = EniParameters
    default_check_interval_ms = 30_000  # at most two Describe calls a minute

    def __init__(self, parameters: EniParameters, tools: Tools, *, root: Path = Path("/")) -> None:
        super().__init__(parameters, tools)
        self._root = root
        self._seen: Interface | None = None

    @classmethod
    def permissions(cls, parameters: EniParameters) -> tuple[Permission, ...]:
        """Attach and detach this interface, at whatever instances the nodes are; see both."""
        arn = "arn:{partition}:ec2:{region}:{account}:"
        return (
            Permission(
                why="MoveInterface",
                actions=("ec2:AttachNetworkInterface", "ec2:DetachNetworkInterface"),
                resources=(f"{arn}network-interface/{parameters.interface}", f"{arn}instance/*"),
            ),
            Permission(
                why="SeeInterface", actions=("ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces")
            ),
        )

    async def restore(self) -> None:
        """Attach it here, taking it from the former owner, wait for the device, and set its link up.

        Raises KitError; Unanswered where nobody could tell, while it has yet to leave the former owner, and
        where this node may not act any more.
        """
        until_s = asyncio.get_running_loop().time() + self.parameters.wait_ms / 1_000
        try:
            await self._attach(until_s)
        except AwsError as error:
            raise verdicts.failure(self, "restore", error) from error
        except CannotMove as error:
            raise (self.unanswered if error.passing else self.error)("restore", str(error)) from error
        link = await until_there(self._link, until_s)
        if link is None:
            raise self.error("restore", f"{self.parameters.interface} is attached, but {self._missing()}")
        await self._set("restore", link, up=True)

    async def remove(self) -> None:
        """Set its link down, if it is here at all."""
        if link := self._link():
            await self._set("remove", link, up=False)

    async def recover(self) -> None:
        """Attach it again, or set its link up again; its addresses stay where they are."""
        await self.restore()

    async def quick_check(self) -> Check:
        """One DescribeNetworkInterfaces and a look at the link; without AWS, the link alone can be amiss."""
        trouble = self._trouble()
        try:
            here = (await self.tools.aws.identity()).instance_id
            self._seen = await describe(self.tools.aws.ec2, self.parameters.interface)
        except AwsError as error:
            if error.kind is AwsFault.NOT_FOUND:
                return Check.failed(str(error))
            return Check.failed(trouble) if trouble else Check.unknown(str(error))
        at = self._seen.attachment
        if at is None or at.instance != here:
            return Check.failed(f"{self._seen.id} is {at or 'attached to nothing'}")
        if trouble:
            return Check.failed(trouble)
        if at.state != "attached":
            return Check.unknown(f"{self._seen.id} is {at}, and its device still there")
        return Check.ok()

    def details(self) -> Mapping[str, Any]:
        """The interface as it was last seen."""
        at = self._seen.attachment if self._seen else None
        link = self._link()
        return {
            "interface": self.parameters.interface,
            "device": link.name if link else None,
            "attached_to": at.instance if at else None,
            "attachment": at.state if at else None,
            "zone": self._seen.zone if self._seen else None,
        }

    async def validate(self) -> list[Finding]:
        """Whether it can be attached here and outlives an instance, and whether this role may."""
        lacking = [] if shutil.which("ip") else [Finding("there is no ip(8)", "install iproute2")]
        ours = self.parameters
        try:
            return lacking + await interface_findings(ours.interface, ours.mac, ours.device_index, self.tools)
        except AwsError as error:
            return [*lacking, verdicts.finding(error)]

    async def _attach(self, until_s: float) -> None:
        identity = await self.tools.aws.identity()
        ours = self.parameters
        interface = MovableInterface(
            ours.interface, ours.mac, ours.device_index, identity.availability_zone, self.tools
        )
        try:
            await Move(interface, identity.instance_id, self.tools).finish(until_s)
        finally:
            self._seen = interface.seen

    async def _set(self, action: str, link: Link, *, up: bool) -> None:
        """Set the link up or down, and see that it is; gone meanwhile is as good as down."""
        if link.up is up:
            return
        try:
            await self.tools.run("ip", "link", "set", "dev", link.name, "up" if up else "down")
        except (CommandFailed, OSError) as problem:
            if up or self._link():
                raise self.error(action, str(problem)) from problem
        now = self._link()
        if (now is not None and now.up is not up) or (now is None and up):
            raise self.error(action, f"ip(8) said it had worked, but {self._trouble() or 'the link is up'}")

    def _trouble(self) -> str:
        """What is wrong with the device, or ""."""
        link = self._link()
        if link is None:
            return self._missing()
        return "" if link.up else f"{link.name} is down"

    def _link(self) -> Link | None:
        return find_link(self._root, self.parameters.mac)

    def _missing(self) -> str:
        return f"no device has the MAC address {self.parameters.mac}"
