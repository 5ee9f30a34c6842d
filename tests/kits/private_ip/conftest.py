from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any, ClassVar

import pytest

from agent.aws import Machine
from recovery_kits.contract import ALWAYS, Authority, Aws, Site, Tools
from recovery_kits.private_ip import PrivateIpKit, PrivateIpParameters
from tests.aws_server import AwsServer, World
from tests.aws_server.world import IMAGE
from tests.kits.acting import Agent, Known, no_command
from tests.kits.moved_address import LOOK, MOVE, new, old, run

__all__ = ["new", "old", "run"]
ADDRESS = "10.0.3.50"


@dataclass(frozen=True)
class Scene:
    """db-01 and db-03 in one subnet, the address at db-01's eth0; db-02 in another zone."""

    server: AwsServer
    world: World
    interfaces: dict[str, str]  # node -> its eth0
    instances: dict[str, str]  # node -> instance id
    tag = "private-ip-app"
    taker = "db-03"
    operations: ClassVar = {
        MOVE: "ec2:AssignPrivateIpAddresses",
        LOOK: "ec2:DescribeNetworkInterfaces",
    }

    def holders(self, address: str = ADDRESS) -> list[str]:
        """The ENIs that have the address."""
        with closing(self.server.ec2()) as client:
            enis = client.describe_network_interfaces()["NetworkInterfaces"]
        return [
            eni["NetworkInterfaceId"]
            for eni in enis
            if address in [each["PrivateIpAddress"] for each in eni["PrivateIpAddresses"]]
        ]

    def holder(self) -> str:
        """The node whose eth0 has it."""
        (holder,) = (node for node, interface in self.interfaces.items() if [interface] == self.holders())
        return holder

    def kit(
        self,
        agent: Agent,
        node: str,
        authority: Authority = ALWAYS,
        peers: dict[str, tuple[str, ...]] | None = None,
        **changes: Any,
    ) -> PrivateIpKit:
        """The node's kit, acting through `agent`; the parameters as usual unless told otherwise."""
        site = Site(nodes=peers or {"db-01": ("10.0.3.4", "10.0.12.4"), "db-03": ("10.0.3.5",)})
        machine = Machine(
            instance_id=self.instances[node],
            region=self.world.region,
            availability_zone="",  # the kit asks EC2 for the ENI's
            interfaces={},
        )
        aws: Aws = Known(agent.aws, machine)
        tools = Tools(
            tag=self.tag,
            node=node,
            run=no_command,
            aws=aws,
            authority=authority,
            site=site,
        )
        usual: dict[str, Any] = {"address": IPv4Address(ADDRESS), "interface": self.interfaces[node]}
        return PrivateIpKit(PrivateIpParameters(**(usual | changes)), tools)

    def late_kit(self, agent: Agent) -> PrivateIpKit:
        """Of db-01: it assigns the address again though it has it."""
        return self.kit(agent, "db-01")


@pytest.fixture
def scene(aws_server: AwsServer, world: World) -> Scene:
    """Made anew for each test, its calls gone from the journal."""
    interfaces = {node.name: node.interfaces[0].id for node in world.nodes}
    instances = {node.name: node.instance_id for node in world.nodes}
    with closing(aws_server.ec2()) as client:
        made = client.create_network_interface(SubnetId=world.subnets["db-01-0"], PrivateIpAddress="10.0.3.5")
        interfaces["db-03"] = made["NetworkInterface"]["NetworkInterfaceId"]
        started = client.run_instances(
            ImageId=IMAGE,
            InstanceType="t3.medium",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": interfaces["db-03"]}],
        )
        instances["db-03"] = started["Instances"][0]["InstanceId"]
        client.assign_private_ip_addresses(
            NetworkInterfaceId=interfaces["db-01"], PrivateIpAddresses=[ADDRESS]
        )
    aws_server.forget_calls()
    return Scene(aws_server, world, interfaces, instances)


@pytest.fixture
def db_01(scene: Scene, agent: Agent) -> PrivateIpKit:
    """The kit of the node that has the address at first."""
    return scene.kit(agent, "db-01")


@pytest.fixture
def db_03(scene: Scene, agent: Agent) -> PrivateIpKit:
    """The kit of the node that is to take over."""
    return scene.kit(agent, "db-03")
