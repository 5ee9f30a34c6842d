"""A volume as EC2 describes it, and EC2's calls to move it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recovery_kits.attachment import Attachment, CannotMove, described
from recovery_kits.contract import Ec2, Tools

USABLE = frozenset({"available", "in-use"})


@dataclass(frozen=True)
class Volume:
    """One volume at one moment."""

    id: str
    zone: str
    state: str  # available, in-use; creating, error, …
    multi_attach: bool
    attachment: Attachment | None
    device_name: str = ""  # EC2's name for the attachment
    dies_with_instance: bool = False  # terminating the instance deletes it

    def why_never(self, zone: str) -> tuple[str, str] | None:
        """Why it can't follow a hierarchy to a node in `zone`, and what to do about it."""
        if self.zone != zone:
            why = f"{self.id} is in {self.zone}, which it can't leave; this node is in {zone}"
            return why, "use the kit mirror, which keeps a copy on each node"
        if self.multi_attach:
            why = f"{self.id} has multi-attach on, so being attached keeps no other node from writing"
            return why, "use a volume without it, or the kit mirror"
        if self.state not in USABLE:
            why = f"{self.id} is in the state {self.state}"
            return why, f"aws ec2 describe-volume-status --volume-ids {self.id}"
        return None


async def describe(ec2: Ec2, volume: str) -> Volume:
    """One DescribeVolumes; raises AwsError."""
    answer = await ec2("describe_volumes", VolumeIds=[volume])
    return _read(described("DescribeVolumes", answer["Volumes"]))


class MovableVolume:
    """The volume for `recovery_kits.attachment.Move`; `seen` is the last reading."""

    def __init__(self, volume: str, device_name: str, zone: str, tools: Tools) -> None:
        self.id, self._device_name, self._zone, self._tools = volume, device_name, zone, tools
        self.seen: Volume | None = None

    async def look(self) -> Attachment | None:
        """Where it is attached; raises AwsError, and CannotMove where this node can't have it."""
        self.seen = await describe(self._tools.aws.ec2, self.id)
        if never := self.seen.why_never(self._zone):
            raise CannotMove("; ".join(never))
        return self.seen.attachment

    async def attach(self, instance: str) -> None:
        """Ask EC2 to attach it."""
        await self._tools.aws.ec2(
            "attach_volume",
            authority=self._tools.authority,
            VolumeId=self.id,
            InstanceId=instance,
            Device=self._device_name,
        )

    async def detach(self, attachment: Attachment, *, force: bool) -> None:
        """Ask EC2 to detach it from that instance, and from no other."""
        await self._tools.aws.ec2(
            "detach_volume",
            authority=self._tools.authority,
            VolumeId=self.id,
            InstanceId=attachment.instance,
            Force=force,
        )


def _read(told: Mapping[str, Any]) -> Volume:
    attached = [each for each in told.get("Attachments", ()) if each["State"] != "detached"]
    first = attached[0] if attached else None
    return Volume(
        id=told["VolumeId"],
        zone=told["AvailabilityZone"],
        state=told["State"],
        multi_attach=told.get("MultiAttachEnabled", False),
        attachment=Attachment(first.get("InstanceId", ""), first["State"]) if first else None,
        device_name=first.get("Device", "") if first else "",
        dies_with_instance=bool(first and first.get("DeleteOnTermination")),
    )
