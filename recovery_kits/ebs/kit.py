"""An EBS volume that is attached to the active node, within one availability zone.

Its invariants:
- what it takes from whom, and when by force: recovery_kits.attachment;
- nothing is detached anywhere before it is known that the volume can be attached here;
- `remove` needs no network: the volume is certainly inactive once nothing here has it open and what was
  written is on it. It stays attached; to detach it is for the next owner, which has the authority to.
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
from agent.config.errors import BadParameter
from recovery_kits import verdicts
from recovery_kits.attachment import CannotMove, Move, until_there
from recovery_kits.contract import Check, CommandFailed, Finding, Kit, Permission, Tools
from recovery_kits.ebs.advice import volume_findings
from recovery_kits.ebs.volume import MovableVolume, Volume, describe
from recovery_kits.filesystem.unmount import still_claimed

BY_ID = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"  # udev's link; the NVMe serial follows
CLAIM_GRACE_S = 2.0  # udev may have the device open for a moment
LET_GO_LIMIT_S = 5.0  # what `detach_on_remove` may add to a remove
VolumeId = Annotated[str, Meta(pattern=r"^vol-[0-9a-f]{8,17}\Z", examples=["vol-0123456789abcdef0"])]


@dataclass(frozen=True, kw_only=True)
class EbsParameters:
    """[hierarchy.….resource.…] with kit = "ebs"."""

    volume: Annotated[VolumeId, Meta(description="The volume, in the zone that all nodes are in.")]
    device_name: Annotated[
        str,
        Meta(
            description="EC2's name for the attachment, which no other volume of the node has.",
            pattern=r"^/dev/(sd[b-z]|xvd[b-z][a-z]?)\Z",
            examples=["/dev/sdf"],
        ),
    ] = "/dev/sdf"
    device_link: Annotated[
        Path | None,
        Meta(description="Where the device appears on the node; else udev's link with the volume's id."),
    ] = None
    detach_on_remove: Annotated[
        bool, Meta(description="Ask EC2 to detach it after `remove`, so that the next owner waits less.")
    ] = False
    wait_ms: Annotated[
        int,
        Meta(description="How long EC2 may take to detach it, to attach it and to show the device.", ge=0),
    ] = 120_000

    def __post_init__(self) -> None:
        """Refuse a link elsewhere: looking at it might hang on a disk."""
        link = self.device_link
        if link and (not link.is_relative_to("/dev") or ".." in link.parts):
            raise BadParameter("device_link", f"{link}: write a path below /dev")

    @property
    def device(self) -> Path:
        """Where the device appears on the node."""
        return self.device_link or Path(BY_ID + self.volume.replace("-", ""))


class EbsKit(Kit[EbsParameters]):
    """One volume, e.g. vol-0123456789abcdef0."""

    kind = "ebs"
    aws_services = ("ec2",)
    summary = "an EBS volume that is attached to the active node, within one availability zone"
    Parameters: ClassVar[type[Any]] = EbsParameters
    default_check_interval_ms = 30_000  # at most two Describe calls a minute

    def __init__(self, parameters: EbsParameters, tools: Tools, *, root: Path = Path("/")) -> None:
        super().__init__(parameters, tools)
        self._device = root / parameters.device.relative_to("/")
        self._seen: Volume | None = None

    @classmethod
    def permissions(cls, parameters: EbsParameters) -> tuple[Permission, ...]:
        """Attach and detach this volume, at whatever instances the nodes are; see volumes and instances."""
        arn = "arn:{partition}:ec2:{region}:{account}:"
        return (
            Permission(
                why="MoveVolume",
                actions=("ec2:AttachVolume", "ec2:DetachVolume"),
                resources=(f"{arn}volume/{parameters.volume}", f"{arn}instance/*"),
            ),
            Permission(why="SeeVolume", actions=("ec2:DescribeInstances", "ec2:DescribeVolumes")),
        )

    async def restore(self) -> None:
        """Attach it here, taking it from the former owner, and wait for the device.

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
        if not await until_there(self._there, until_s):
            why = f"{self.parameters.volume} is attached, but there is no {self._device}"
            raise self.error("restore", f"{why}; set device_link to where `lsblk -o +SERIAL` shows it")

    async def remove(self) -> None:
        """Make sure that nothing here uses it, and that what was written is on it."""
        if self._there():
            await self._flush()
        if self.parameters.detach_on_remove:
            await self._let_go()

    async def recover(self) -> None:
        """Attach it again; there is nothing to let go of first."""
        await self.restore()

    async def quick_check(self) -> Check:
        """One DescribeVolumes and a look for the device; without AWS, the device alone can be missed."""
        try:
            here = (await self.tools.aws.identity()).instance_id
            self._seen = await describe(self.tools.aws.ec2, self.parameters.volume)
        except AwsError as error:
            if error.kind is AwsFault.NOT_FOUND:
                return Check.failed(str(error))
            return Check.unknown(str(error)) if self._there() else Check.failed(self._missing())
        at = self._seen.attachment
        if at is None or at.instance != here:
            return Check.failed(f"{self._seen.id} is {at or 'attached to nothing'}")
        if not self._there():
            return Check.failed(self._missing())
        if at.state != "attached":
            return Check.unknown(f"{self._seen.id} is {at}, and its device still there")
        return Check.ok()

    def details(self) -> Mapping[str, Any]:
        """The volume as it was last seen."""
        at = self._seen.attachment if self._seen else None
        return {
            "volume": self.parameters.volume,
            "device": str(self.parameters.device),
            "attached_to": at.instance if at else None,
            "attachment": at.state if at else None,
            "zone": self._seen.zone if self._seen else None,
        }

    async def validate(self) -> list[Finding]:
        """Whether the volume can be attached here and outlives an instance, and whether this role may."""
        lacking = (
            [] if shutil.which("blockdev") else [Finding("there is no blockdev(8)", "install util-linux")]
        )
        try:
            return lacking + await volume_findings(
                self.parameters.volume, self.parameters.device_name, self.tools
            )
        except AwsError as error:
            return [*lacking, verdicts.finding(error)]

    async def _attach(self, until_s: float) -> None:
        identity = await self.tools.aws.identity()
        volume = MovableVolume(
            self.parameters.volume, self.parameters.device_name, identity.availability_zone, self.tools
        )
        try:
            await Move(volume, identity.instance_id, self.tools).finish(until_s)
        finally:
            self._seen = volume.seen

    async def _flush(self) -> None:
        device = str(self._device)
        if why := await still_claimed(device, self.tools, grace_s=CLAIM_GRACE_S):
            raise self.error("remove", f"something here still uses {device}: {why}")
        try:
            await self.tools.run("blockdev", "--flushbufs", device)
        except (CommandFailed, OSError) as problem:
            if self._there():  # else it has been detached meanwhile
                raise self.error("remove", str(problem)) from problem

    async def _let_go(self) -> None:
        """Best effort: the next owner detaches it anyway."""
        try:
            async with asyncio.timeout(LET_GO_LIMIT_S):
                here = (await self.tools.aws.identity()).instance_id
                await self.tools.aws.ec2(
                    "detach_volume",
                    authority=self.tools.authority,
                    VolumeId=self.parameters.volume,
                    InstanceId=here,
                )
        except (AwsError, TimeoutError) as error:
            why = str(error) or f"no answer within {LET_GO_LIMIT_S:g} s"
            self.tools.log(f"{self.parameters.volume} stays attached for now: {why}")

    def _there(self) -> Path | None:
        return self._device if self._device.exists() else None

    def _missing(self) -> str:
        return f"there is no {self._device}"
