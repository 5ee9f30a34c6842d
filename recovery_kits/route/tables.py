"""Route tables as EC2 describes them, reduced to one destination."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Self

from msgspec import Meta

TableId = Annotated[str, Meta(pattern=r"^rtb-[0-9a-f]{8,17}\Z", examples=["rtb-0123456789abcdef0"])]
TARGETS = (  # what a route can lead to; an ENI first: its instance stands beside it, or is hidden from us
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


class PrefixListId(str):
    """A managed prefix list, e.g. pl-0123456789abcdef0; ValueError where it can't be one."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Check the text."""
        if not re.fullmatch(r"pl-[0-9a-f]{8,17}", text):
            raise ValueError(text)
        return super().__new__(cls, text)


Destination = IPv4Network | IPv6Network | PrefixListId


@dataclass(frozen=True)
class Table:
    """One route table, and where it sends the destination."""

    id: str
    vpc: str = ""
    target: str | None = None  # an ENI or whatever else; None: it has no such route
    blackhole: bool = False
    exists: bool = True

    def why_not(self, interface: str) -> str | None:
        """What is wrong unless the destination leads to `interface`."""
        if not self.exists:
            return "doesn't exist"
        if self.target is None:
            return "has no such route"
        if self.target != interface:
            return f"points at {self.target}"
        return "is a blackhole: the ENI is detached or its instance stopped" if self.blackhole else None


def read_tables(answer: Mapping[str, Any], destination: Destination) -> dict[str, Table]:
    """The tables of a DescribeRouteTables answer, by id."""
    tables = (_read_table(each, destination) for each in answer["RouteTables"])
    return {table.id: table for table in tables}


def destination_parameter(destination: Destination) -> dict[str, str]:
    """How EC2's route calls want the destination."""
    if isinstance(destination, PrefixListId):
        return {"DestinationPrefixListId": destination}
    name = "DestinationCidrBlock" if destination.version == 4 else "DestinationIpv6CidrBlock"
    return {name: str(destination)}


def _read_table(described: Mapping[str, Any], destination: Destination) -> Table:
    name, vpc = described["RouteTableId"], described.get("VpcId", "")
    route = _find(described.get("Routes", ()), destination)
    if route is None:
        return Table(name, vpc)
    target = next((route[key] for key in TARGETS if route.get(key)), "an unknown target")
    return Table(name, vpc, target, route.get("State") == "blackhole")


def _find(routes: Iterable[Mapping[str, Any]], destination: Destination) -> Mapping[str, Any] | None:
    return next((route for route in routes if _is_to(route, destination)), None)


def _is_to(route: Mapping[str, Any], destination: Destination) -> bool:
    if isinstance(destination, PrefixListId):
        return bool(route.get("DestinationPrefixListId") == destination)
    said = route.get("DestinationCidrBlock") or route.get("DestinationIpv6CidrBlock")
    return said is not None and ip_network(said, strict=False) == destination  # IPv6 has many spellings
