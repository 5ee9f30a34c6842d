"""Asks AWS for a `Cloud`: one Describe of each kind, which change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from ipaddress import ip_network
from typing import Any, TypeVar

from agent.aws import AwsError
from agent.config.model import Address
from agent.doctor.cloud import Cloud, Group, Instance, Interface, Network, Rule, Table
from agent.doctor.contract import Untold
from recovery_kits.contract import Aws, Permission

T = TypeVar("T")

PERMISSION = Permission(
    why="Doctor",
    actions=(
        "ec2:DescribeInstances",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    ),
)
_STEP = "see that AWS can be reached from here (route, security group, VPC endpoint), then try again"


async def describe(aws: Aws, addresses: Collection[Address]) -> Cloud:
    """All that is told of whatever has these addresses; raises nothing."""
    me = await _me(aws)
    found = await _interfaces(aws, addresses)
    if isinstance(found, Untold):
        return Cloud(
            me=me, interfaces=found, instances=found, groups=found, vpcs=found, tables=found, subnets=found
        )
    interfaces = _by_address(found, addresses, None if isinstance(me, Untold) else me)
    used = interfaces.values()
    vpcs = sorted({each.vpc for each in used})
    there = [{"Name": "vpc-id", "Values": vpcs}]
    instances, groups, ranges, tables, subnets = await asyncio.gather(
        _ask(aws, "describe_instances", _instances, InstanceIds=_ids(each.instance for each in used)),
        _ask(
            aws,
            "describe_security_groups",
            _groups,
            GroupIds=_ids(id_ for each in used for id_ in each.groups),
        ),
        _ask(aws, "describe_vpcs", _vpcs, VpcIds=vpcs),
        _ask(aws, "describe_route_tables", _tables, Filters=there if vpcs else []),
        _ask(aws, "describe_subnets", _subnets, Filters=there if vpcs else []),
    )
    return Cloud(
        me=me,
        interfaces=interfaces,
        instances=instances,
        groups=groups,
        vpcs=ranges,
        tables=tables,
        subnets=subnets,
    )


async def _me(aws: Aws) -> str | Untold:
    try:
        return (await aws.identity()).instance_id
    except AwsError as error:
        return _untold(error)


async def _ask(
    aws: Aws, operation: str, parse: Callable[[Mapping[str, Any]], dict[str, T]], **wanted: Any
) -> dict[str, T] | Untold:
    """What AWS answers about `wanted`; nothing where nothing is: AWS would take that for everything."""
    if not any(wanted.values()):
        return {}
    try:
        return parse(await aws.ec2(operation, **wanted))
    except AwsError as error:
        return _untold(error)


def _untold(error: AwsError) -> Untold:
    return Untold(f"{error.operation}: {error.code}: {error.text}", error.step or _STEP)


async def _interfaces(aws: Aws, addresses: Collection[Address]) -> list[Interface] | Untold:
    """Every ENI that has one of the addresses, also those of other VPCs with the same range."""
    found: list[Interface] = []
    for name, version in (("addresses.private-ip-address", 4), ("ipv6-addresses.ipv6-address", 6)):
        values = [str(each) for each in addresses if each.version == version]
        filters = [{"Name": name, "Values": values}] if values else []
        answer = await _ask(aws, "describe_network_interfaces", _parse_interfaces, Filters=filters)
        if isinstance(answer, Untold):
            return answer
        found += answer.values()
    return found


def _by_address(
    found: list[Interface], addresses: Collection[Address], me: str | None
) -> dict[str, Interface]:
    """One ENI for each address; in this machine's VPC where several have it."""
    home = {each.vpc for each in found if each.instance == me and me is not None}
    found = sorted(found, key=lambda each: each.vpc not in home)
    first: dict[str, Interface] = {}
    for address in map(str, addresses):
        for each in found:
            if address in each.addresses:
                first.setdefault(address, each)
    return first


def _ids(ids: Any) -> list[str]:
    return sorted({each for each in ids if each})


def _parse_interfaces(answer: Mapping[str, Any]) -> dict[str, Interface]:
    return {each["NetworkInterfaceId"]: _interface(each) for each in answer["NetworkInterfaces"]}


def _interface(said: Mapping[str, Any]) -> Interface:
    attachment = said.get("Attachment") or {}
    addresses = [each["PrivateIpAddress"] for each in said.get("PrivateIpAddresses", ())]
    addresses += [each["Ipv6Address"] for each in said.get("Ipv6Addresses", ())]
    return Interface(
        id=said["NetworkInterfaceId"],
        addresses=frozenset(addresses),
        vpc=said["VpcId"],
        subnet=said.get("SubnetId", ""),
        groups=tuple(each["GroupId"] for each in said.get("Groups", ())),
        checks_source=said.get("SourceDestCheck", True),
        instance=attachment.get("InstanceId"),
        index=attachment.get("DeviceIndex"),
    )


def _instances(answer: Mapping[str, Any]) -> dict[str, Instance]:
    found = (each for reservation in answer["Reservations"] for each in reservation["Instances"])
    return {each["InstanceId"]: _instance(each) for each in found}


def _instance(said: Mapping[str, Any]) -> Instance:
    metadata = said.get("MetadataOptions", {})
    return Instance(
        id=said["InstanceId"],
        state=said["State"]["Name"],
        zone=said["Placement"]["AvailabilityZone"],
        has_profile=bool(said.get("IamInstanceProfile")),
        metadata_endpoint=metadata.get("HttpEndpoint"),
        hop_limit=metadata.get("HttpPutResponseHopLimit"),
    )


def _groups(answer: Mapping[str, Any]) -> dict[str, Group]:
    return {
        each["GroupId"]: Group(
            id=each["GroupId"],
            incoming=tuple(map(_rule, each.get("IpPermissions", ()))),
            outgoing=tuple(map(_rule, each.get("IpPermissionsEgress", ()))),
        )
        for each in answer["SecurityGroups"]
    }


def _rule(said: Mapping[str, Any]) -> Rule:
    ranges = [each["CidrIp"] for each in said.get("IpRanges", ())]
    ranges += [each["CidrIpv6"] for each in said.get("Ipv6Ranges", ())]
    return Rule(
        protocol=said["IpProtocol"],
        first=said.get("FromPort"),
        last=said.get("ToPort"),
        networks=tuple(ip_network(each, strict=False) for each in ranges),
        groups=tuple(each["GroupId"] for each in said.get("UserIdGroupPairs", ()) if "GroupId" in each),
        lists=tuple(each["PrefixListId"] for each in said.get("PrefixListIds", ())),
    )


def _vpcs(answer: Mapping[str, Any]) -> dict[str, tuple[Network, ...]]:
    return {
        each["VpcId"]: tuple(
            ip_network(block[key])
            for list_, key in (
                ("CidrBlockAssociationSet", "CidrBlock"),
                ("Ipv6CidrBlockAssociationSet", "Ipv6CidrBlock"),
            )
            for block in each.get(list_, ())
        )
        for each in answer["Vpcs"]
    }


def _tables(answer: Mapping[str, Any]) -> dict[str, Table]:
    return {each["RouteTableId"]: _table(each) for each in answer["RouteTables"]}


def _table(said: Mapping[str, Any]) -> Table:
    associations = said.get("Associations", ())
    return Table(
        id=said["RouteTableId"],
        vpc=said["VpcId"],
        subnets=tuple(each["SubnetId"] for each in associations if each.get("SubnetId")),
        main=any(each.get("Main") for each in associations),
        tags={each["Key"]: each["Value"] for each in said.get("Tags", ())},
        destinations=frozenset(
            each[key]
            for each in said.get("Routes", ())
            for key in ("DestinationCidrBlock", "DestinationIpv6CidrBlock", "DestinationPrefixListId")
            if each.get(key)
        ),
    )


def _subnets(answer: Mapping[str, Any]) -> dict[str, str]:
    return {each["SubnetId"]: each["VpcId"] for each in answer["Subnets"]}
