"""Route tables as EC2 describes them, reduced to one destination."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

Network = IPv4Network | IPv6Network
TARGETS = (  # what a route can lead to; an ENI comes first: AWS names its instance beside it
    "NetworkInterfaceId",
    "InstanceId",
    "GatewayId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
)


@dataclass(frozen=True)
class Table:
    """One route table, and where it sends the destination."""

    id: str
    vpc: str
    target: str | None  # an ENI or whatever else; None: it has no such route
    blackhole: bool = False

    def why_not(self, interface: str) -> str | None:
        """What is wrong unless the destination leads to `interface`."""
        if self.target is None:
            return "has no such route"
        if self.target != interface:
            return f"points at {self.target}"
        return "is a blackhole: the ENI is detached or its instance stopped" if self.blackhole else None


def read_tables(answer: Mapping[str, Any], destination: Network) -> dict[str, Table]:
    """The tables of a DescribeRouteTables answer, by id."""
    tables = (_read_table(each, destination) for each in answer["RouteTables"])
    return {table.id: table for table in tables}


def destination_parameter(destination: Network) -> dict[str, str]:
    """How EC2's route calls want the destination."""
    name = "DestinationCidrBlock" if destination.version == 4 else "DestinationIpv6CidrBlock"
    return {name: str(destination)}


def _read_table(described: Mapping[str, Any], destination: Network) -> Table:
    name, vpc = described["RouteTableId"], described.get("VpcId", "")
    route = _find(described.get("Routes", ()), destination)
    if route is None:
        return Table(name, vpc, None)
    target = next((route[key] for key in TARGETS if route.get(key)), "an unknown target")
    return Table(name, vpc, target, route.get("State") == "blackhole")


def _find(routes: Iterable[Mapping[str, Any]], destination: Network) -> Mapping[str, Any] | None:
    for route in routes:
        said = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
        if said and ip_network(said, strict=False) == destination:  # IPv6 has many spellings
            return route
    return None
