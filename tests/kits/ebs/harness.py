"""An ebs kit on nodes of one zone, with a /dev of their own, driven from plain tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from agent.core.states import Health
from recovery_kits.contract import ALWAYS, Authority, Check, Finding
from recovery_kits.ebs import EbsKit, EbsParameters
from tests.aws_server import REGION
from tests.kits.attachment.harness import Zone
from tests.kits.fakes import Table

LINK = "dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_"
CLAIM = (sys.executable, "-I", "-S", "-c")  # what asks for the device for itself


class Disk:
    """One volume, which the nodes' kits move."""

    def __init__(self, zone: Zone, folder: Path, **made: Any) -> None:
        self.zone, self._folder, self.run = zone, folder, Table()
        self.run.answer(*CLAIM)
        self.run.answer("blockdev", "--flushbufs")
        with zone.scene() as client:
            wish: Any = {"AvailabilityZone": f"{REGION}a", "Size": 8} | made
            self.id: str = client.create_volume(**wish)["VolumeId"]
        for node in ("db-01", "db-03"):
            self.show(node)

    def root(self, node: str) -> Path:
        """What is / to the node's kit."""
        return self._folder / node

    def device(self, node: str) -> Path:
        """Where the node looks for the device."""
        return self.root(node) / (LINK + self.id.replace("-", ""))

    def show(self, node: str) -> None:
        """The device appears on the node."""
        self.device(node).parent.mkdir(parents=True, exist_ok=True)
        self.device(node).touch()

    def hide(self, node: str) -> None:
        """The device goes."""
        self.device(node).unlink()

    def attach(self, node: str) -> None:
        """Set the scene."""
        with self.zone.scene() as client:
            client.attach_volume(VolumeId=self.id, InstanceId=self.zone.instances[node], Device="/dev/sdf")

    def described(self, **changes: Any) -> dict[str, Any]:
        """DescribeVolumes' answer, with `changes` to the volume, or to its `attachment`."""
        of_attachment = changes.pop("attachment", {})
        with self.zone.scene() as client:
            answer: Any = client.describe_volumes(VolumeIds=[self.id])
        answer["Volumes"][0].update(changes)
        if of_attachment:
            answer["Volumes"][0]["Attachments"][0].update(of_attachment)
        return dict(answer)

    def at(self) -> str | None:
        """The name of the instance that has it; from here on AWS works again."""
        with self.zone.scene() as client:
            attached = client.describe_volumes(VolumeIds=[self.id])["Volumes"][0]["Attachments"]
        names = {instance: name for name, instance in self.zone.instances.items()}
        return names[attached[0]["InstanceId"]] if attached else None

    def kit(self, node: str, *, authority: Authority = ALWAYS, in_zone: str = "a", **changes: Any) -> EbsKit:
        """The node's kit."""
        usual: dict[str, Any] = {"volume": self.id, "wait_ms": 5_000}
        parameters = EbsParameters(**(usual | changes))
        tools = self.zone.tools(node, self.run, authority, in_zone)
        return EbsKit(parameters, tools, root=self.root(node))

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
