"""A thing that EC2 attaches as AWS does and moto doesn't: in steps that take time, and to one at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.attachment import Attachment

LOOKS = 2  # how many looks a step takes


class SlowThing:
    """A `Movable`, and the `ec2` that knows its instances; every call gives way once before and after.

    `holds`: instances that keep it however they are asked. `lost`: how many answers to changes are lost,
    after the change. `refuses`: an error for each change, and nothing is changed. `elsewhere`: instances of
    another VPC.
    """

    id = "vol-0123456789abcdef0"

    def __init__(self, **instances: tuple[str, str]) -> None:  # name -> state, address
        self.instances = instances
        self.at: Attachment | None = None
        self.changes: list[str] = []
        self.holds: set[str] = set()
        self.elsewhere: set[str] = set()
        self.lost, self.shows = 0, True
        self.refuses: AwsError | None = None
        self._left = 0

    def attach_now(self, instance: str, state: str = "attached") -> None:
        """Set the scene."""
        self.at, self._left = Attachment(instance, state, "attach-1"), LOOKS

    def begin_afresh(self, instance: str) -> None:
        """Attached to `instance` or, "", to nothing; nothing has been changed."""
        self.at, self.changes = None, []
        if instance:
            self.attach_now(instance)

    async def look(self) -> Attachment | None:
        """One reading; time goes by only from reading to reading."""
        await asyncio.sleep(0)
        self._proceed()
        seen = self.at
        await asyncio.sleep(0)
        return seen

    async def attach(self, instance: str) -> None:
        """As AttachVolume."""
        await self._begin(f"attach {instance}")
        if self.at is not None:
            raise AwsError(AwsFault.REFUSED, "AttachVolume", "VolumeInUse", str(self.at))
        self.at, self._left = Attachment(instance, "attaching", "attach-2"), LOOKS
        await self._end()

    async def detach(self, attachment: Attachment, *, force: bool) -> None:
        """As DetachVolume."""
        await self._begin(f"{'force' if force else 'detach'} {attachment.instance}")
        if self.at is None or self.at.instance != attachment.instance:
            raise AwsError(AwsFault.NOT_FOUND, "DetachVolume", "InvalidAttachment.NotFound", str(self.at))
        if force:
            self.holds.discard(attachment.instance)
        self.at, self._left = Attachment(attachment.instance, "detaching", attachment.id), LOOKS
        await self._end()

    async def ec2(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Only DescribeInstances."""
        assert operation == "describe_instances"
        await asyncio.sleep(0)
        names = [each for each in parameters["InstanceIds"] if self.shows]
        return {"Reservations": [{"Instances": [self._described(name)]} for name in names]}

    def _described(self, name: str) -> dict[str, Any]:
        state, address = self.instances[name]
        vpc = "vpc-2" if name in self.elsewhere else "vpc-1"
        return {"InstanceId": name, "State": {"Name": state}, "PrivateIpAddress": address, "VpcId": vpc}

    def _proceed(self) -> None:
        self._left -= 1
        if self.at is None or self._left > 0:
            return
        if self.at.state == "attaching":
            self.attach_now(self.at.instance)
        elif self.at.state == "detaching" and self.at.instance in self.holds:
            self.attach_now(self.at.instance, "busy")
        elif self.at.state == "detaching":
            self.at = None

    async def _begin(self, change: str) -> None:
        await asyncio.sleep(0)
        if self.refuses:
            raise self.refuses
        self.changes.append(change)

    async def _end(self) -> None:
        await asyncio.sleep(0)
        if self.lost:
            self.lost -= 1
            raise AwsError(AwsFault.NETWORK, "change", "ReadTimeoutError", "its answer was lost")
