"""For every kit that calls AWS: something it may act on, and something of the same kind that it may not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.aws_server import REGION, AwsServer, World
from tests.aws_server.world import IMAGE
from tests.kits.transit_gateway_route.harness import Gateway

CLUSTER = """\
[cluster]
name = "lab"
key_file = "/etc/kagemusha/cluster.key"
{settings}

[aws]
region = "{region}"

[comm_path.eni-0]
priority = 1
db-01 = "10.0.3.4"
db-02 = "10.0.3.5"

{tables}
"""
HIERARCHY = """\
[hierarchy.app]
nodes = ["db-01", "db-02"]

[hierarchy.app.resource.it]
kit = "{kit}"
{parameters}
"""


@dataclass(frozen=True)
class Scene:
    """Parameters of one kit, twice, as TOML: of what is configured, and of what isn't."""

    own: str
    other: str
    mac: str = ""  # of the device that the kit wants to find on this machine


class Machine:
    """In the place of this machine: commands do nothing, and one device has a MAC address."""

    def __init__(self, root: Path, mac: str) -> None:
        self.root, self._device = root, root / "sys/class/net/eth2"
        (self._device / "device").mkdir(parents=True)
        (self._device / "address").write_text(mac)
        (self._device / "flags").write_text("0x0")

    async def __call__(
        self, *argv: str, env: Mapping[str, str] | None = None, log: Callable[[str], None] | None = None
    ) -> str:
        """Only `ip link set dev eth2 up` (or down) shows."""
        if argv[:3] == ("ip", "link", "set"):
            (self._device / "flags").write_text("0x1" if argv[-1] == "up" else "0x0")
        return ""


def cluster(tables: str, settings: str = 'quorum = "none"') -> str:
    """A configuration file."""
    return CLUSTER.format(settings=settings, region=REGION, tables=tables)


def resource(kit: str, parameters: str) -> str:
    """The only hierarchy of one, with one resource."""
    return HIERARCHY.format(kit=kit, parameters=parameters)


def beside(client: Any, world: World) -> str:
    """db-02 of this file: an instance in db-01's subnet, for what can't leave its zone."""
    made = client.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.medium",
        MinCount=1,
        MaxCount=1,
        SubnetId=world.subnets["db-01-0"],
        PrivateIpAddress="10.0.3.5",
    )
    return str(made["Instances"][0]["InstanceId"])


def _route(server: AwsServer, world: World) -> Scene:
    interface = world.node("db-02").interfaces[0].id  # the route leads to db-01's so far
    with closing(server.ec2()) as client:
        other = client.create_route_table(VpcId=world.vpc_id)["RouteTable"]["RouteTableId"]
    text = 'destination = "10.1.0.10/32"\nroute_tables = ["{}"]\ninterface = "{}"\n'.format
    return Scene(text(world.route_tables[0], interface), text(other, interface))


def _elastic_ip(server: AwsServer, world: World) -> Scene:
    interface = world.node("db-01").interfaces[0].id
    with closing(server.ec2()) as client:
        gateway = client.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        client.attach_internet_gateway(InternetGatewayId=gateway, VpcId=world.vpc_id)
        own, other = (client.allocate_address(Domain="vpc")["AllocationId"] for _ in range(2))
    text = f'interface = "{interface}"\nallocation_id = "{{}}"\n'.format
    return Scene(text(own), text(other))


def _private_ip(_server: AwsServer, world: World) -> Scene:
    own, other = world.node("db-01").interfaces
    return Scene(
        f'address = "10.0.3.50"\ninterface = "{own.id}"\n',
        f'address = "10.0.12.50"\ninterface = "{other.id}"\n',
    )


def _ebs(server: AwsServer, world: World) -> Scene:
    with closing(server.ec2()) as client:
        former = beside(client, world)
        own, other = (
            client.create_volume(AvailabilityZone=f"{REGION}a", Size=8)["VolumeId"] for _ in range(2)
        )
        client.attach_volume(VolumeId=own, InstanceId=former, Device="/dev/sdf")
        client.stop_instances(InstanceIds=[former])
    text = 'volume = "{}"\ndevice_link = "/dev/null"\ndetach_on_remove = true\nwait = "2s"\n'.format
    return Scene(text(own), text(other))


def _eni(server: AwsServer, world: World) -> Scene:
    with closing(server.ec2()) as client:
        former = beside(client, world)
        own, other = (
            client.create_network_interface(SubnetId=world.subnets["db-01-0"])["NetworkInterface"]
            for _ in range(2)
        )
        client.attach_network_interface(
            NetworkInterfaceId=own["NetworkInterfaceId"], InstanceId=former, DeviceIndex=2
        )
        client.stop_instances(InstanceIds=[former])
    own_id, other_id = own["NetworkInterfaceId"], other["NetworkInterfaceId"]
    text = 'interface = "{}"\nmac = "{}"\ndevice_index = 2\nwait = "2s"\n'.format
    return Scene(text(own_id, own["MacAddress"]), text(other_id, other["MacAddress"]), own["MacAddress"])


def _route53(server: AwsServer, world: World) -> Scene:
    with closing(server._client("route53")) as client:
        own, other = (
            client.create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]["Id"].rpartition("/")[2]
            for name in ("example.com", "example.net")
        )
    text = 'hosted_zone_id = "{}"\nname = "{}"\n'.format
    return Scene(text(own, "groupware.example.com"), text(other, "groupware.example.net"))


def _target_group(server: AwsServer, world: World) -> Scene:
    with closing(server.elbv2()) as client:
        own, other = (
            client.create_target_group(
                Name=name, Protocol="TCP", Port=443, VpcId=world.vpc_id, TargetType="instance"
            )["TargetGroups"][0]["TargetGroupArn"]
            for name in ("web", "api")
        )
    instances = ", ".join(f'"{node.instance_id}"' for node in world.nodes)
    text = f'target_groups = ["{{}}"]\nport = 443\ninstances = [{instances}]\n'.format
    return Scene(text(own), text(other))


def _transit_gateway_route(server: AwsServer, world: World) -> Scene:
    gateway = Gateway(server, world)
    with closing(gateway):
        text = 'destination = "10.1.0.10/32"\nroute_tables = ["{}"]\nattachments = ["{}"]\n'.format
        own, other = (text(table, gateway.attachments["db-01"]) for table in gateway.tables)
    return Scene(own, other)


SCENES: dict[str, Callable[[AwsServer, World], Scene]] = {
    "ebs": _ebs,
    "elastic-ip": _elastic_ip,
    "eni": _eni,
    "private-ip": _private_ip,
    "route": _route,
    "route53": _route53,
    "target-group": _target_group,
    "transit-gateway-route": _transit_gateway_route,
}
