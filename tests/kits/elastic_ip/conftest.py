from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from agent.aws import Machine
from recovery_kits.contract import ALWAYS, Authority, Aws, Tools
from recovery_kits.elastic_ip import ElasticIpKit, ElasticIpParameters
from tests.aws_server import AwsServer, World
from tests.kits.acting import Agent, Known, no_command
from tests.kits.moved_address import LOOK, MOVE, new, old, run

__all__ = ["new", "old", "run"]


@dataclass(frozen=True)
class Scene:
    """The reference cluster behind an internet gateway, its Elastic IP on db-01's eth0."""

    server: AwsServer
    world: World
    allocation: str
    public: str
    tag = "eip-app"
    taker = "db-02"
    operations: ClassVar = {MOVE: "ec2:AssociateAddress", LOOK: "ec2:DescribeAddresses"}

    def interface(self, node: str) -> str:
        """The node's eth0."""
        return self.world.node(node).interfaces[0].id

    def machine(self, node: str) -> Machine:
        """What the node's IMDS would say."""
        known = self.world.node(node)
        return Machine(
            instance_id=known.instance_id,
            region=self.world.region,
            availability_zone=known.availability_zone,
            interfaces={},
        )

    def place(self) -> tuple[str, str]:
        """The ENI that has the Elastic IP, and to which of its addresses it leads."""
        with closing(self.server.ec2()) as client:
            (address,) = client.describe_addresses(AllocationIds=[self.allocation])["Addresses"]
        return address.get("NetworkInterfaceId", ""), address.get("PrivateIpAddress", "")

    def holder(self) -> str:
        """The node whose ENI has it."""
        (holder,) = (
            node.name
            for node in self.world.nodes
            if self.place()[0] in [interface.id for interface in node.interfaces]
        )
        return holder

    def kit(self, agent: Agent, node: str, authority: Authority = ALWAYS, **changes: Any) -> ElasticIpKit:
        """The node's kit, acting through `agent`; the parameters as usual unless told otherwise."""
        usual = {"allocation_id": self.allocation, "interface": self.interface(node)}
        aws: Aws = Known(agent.aws, self.machine(node))
        tools = Tools(tag=self.tag, node=node, run=no_command, aws=aws, authority=authority)
        return ElasticIpKit(ElasticIpParameters(**(usual | changes)), tools)

    def late_kit(self, agent: Agent) -> ElasticIpKit:
        """Of db-01 for its other ENI: to the first the address leads already."""
        return self.kit(agent, "db-01", interface=self.world.node("db-01").interfaces[1].id)


@pytest.fixture
def scene(aws_server: AwsServer, world: World) -> Scene:
    """Made anew for each test, its calls gone from the journal."""
    with closing(aws_server.ec2()) as client:
        gateway = client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        client.attach_internet_gateway(InternetGatewayId=gateway, VpcId=world.vpc_id)
        made = client.allocate_address(Domain="vpc")
        scene = Scene(aws_server, world, made["AllocationId"], made["PublicIp"])
        client.associate_address(AllocationId=scene.allocation, NetworkInterfaceId=scene.interface("db-01"))
    aws_server.forget_calls()
    return scene


@pytest.fixture
def db_01(scene: Scene, agent: Agent) -> ElasticIpKit:
    """The kit of the node that has the address at first."""
    return scene.kit(agent, "db-01")


@pytest.fixture
def db_02(scene: Scene, agent: Agent) -> ElasticIpKit:
    """The kit of the node that is to take over."""
    return scene.kit(agent, "db-02")
