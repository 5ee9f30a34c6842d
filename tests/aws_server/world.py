"""The reference cluster's AWS side: VPC, subnets, two nodes with two ENIs each, the app subnets' routes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tests.aws_server.metadata import Profile

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

REGION = "ap-northeast-1"
DESTINATION = "10.1.0.10/32"
IMAGE = "ami-03cf127a"  # one that moto knows; asking it for all of them takes seconds
SUBNETS = {  # name -> (range, zone)
    "app-a": ("10.0.1.0/24", "a"),
    "app-c": ("10.0.4.0/24", "c"),
    "db-01-0": ("10.0.3.0/24", "a"),
    "db-01-1": ("10.0.12.0/24", "a"),
    "db-02-0": ("10.0.6.0/24", "c"),
    "db-02-1": ("10.0.14.0/24", "c"),
}
ADDRESSES = {"db-01": ("10.0.3.4", "10.0.12.4"), "db-02": ("10.0.6.4", "10.0.14.4")}


@dataclass(frozen=True)
class WorldInterface:
    """One ENI, and the device behind which its node finds it."""

    id: str
    device: str
    mac: str
    address: str


@dataclass(frozen=True)
class WorldNode:
    """One instance."""

    name: str
    instance_id: str
    availability_zone: str
    interfaces: tuple[WorldInterface, ...]  # eth0, eth1


@dataclass(frozen=True)
class World:
    """Everything made, by the ids that moto chose."""

    region: str
    vpc_id: str
    subnets: Mapping[str, str]  # name -> id
    route_tables: tuple[str, ...]  # of the app subnets a and c
    destination: str  # both tables route it to db-01's eth0
    nodes: tuple[WorldNode, ...]

    def node(self, name: str) -> WorldNode:
        """The node of that name; KeyError if there is none."""
        for each in self.nodes:
            if each.name == name:
                return each
        raise KeyError(name)

    def profile(self, name: str) -> Profile:
        """What the node's IMDS says."""
        node = self.node(name)
        return Profile(
            instance_id=node.instance_id,
            availability_zone=node.availability_zone,
            region=self.region,
            interfaces={each.mac: each.id for each in node.interfaces},
        )

    def to_json(self) -> str:
        """One line of JSON; msgspec.json.decode(line, type=World) reads it back."""
        return json.dumps(asdict(self))


def reference_world(client: EC2Client) -> World:
    """Make the reference cluster through `client`, whose region must be REGION."""
    vpc = client.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = {name: _subnet(client, vpc, *where) for name, where in SUBNETS.items()}
    nodes = tuple(_node(client, name, subnets) for name in ADDRESSES)
    tables = tuple(_app_route_table(client, vpc, subnets[name]) for name in ("app-a", "app-c"))
    for table in tables:
        client.create_route(
            RouteTableId=table,
            DestinationCidrBlock=DESTINATION,
            NetworkInterfaceId=nodes[0].interfaces[0].id,
        )
    return World(REGION, vpc, subnets, tables, DESTINATION, nodes)


def _subnet(client: EC2Client, vpc: str, cidr: str, zone: str) -> str:
    made = client.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}{zone}")
    return made["Subnet"]["SubnetId"]


def _app_route_table(client: EC2Client, vpc: str, subnet: str) -> str:
    table = client.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    client.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return table


def _node(client: EC2Client, name: str, subnets: Mapping[str, str]) -> WorldNode:
    enis = [
        client.create_network_interface(SubnetId=subnets[f"{name}-{index}"], PrivateIpAddress=address)
        for index, address in enumerate(ADDRESSES[name])
    ]
    zone = f"{REGION}{SUBNETS[f'{name}-0'][1]}"
    ids = [each["NetworkInterface"]["NetworkInterfaceId"] for each in enis]
    instance = client.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.medium",
        MinCount=1,
        MaxCount=1,
        Placement={"AvailabilityZone": zone},
        NetworkInterfaces=[
            {"DeviceIndex": index, "NetworkInterfaceId": eni} for index, eni in enumerate(ids)
        ],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
    )["Instances"][0]
    for eni in ids:
        client.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
    interfaces = tuple(
        WorldInterface(eni, f"eth{index}", made["NetworkInterface"]["MacAddress"], ADDRESSES[name][index])
        for index, (eni, made) in enumerate(zip(ids, enis, strict=True))
    )
    return WorldNode(name, instance["InstanceId"], zone, interfaces)
