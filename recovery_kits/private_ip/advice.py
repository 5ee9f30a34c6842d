"""What `kage check` says about a private address and its ENI, each with what mends it.

A private address never leaves its subnet, and a subnet lies in one zone. So each node looks whether the
address is of its own subnet, which they all can say of one subnet only; and one node can tell of another
that it is in the wrong place by its zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Aws, Finding
from recovery_kits.interface import place_findings

RESERVED_FIRST = 4  # addresses of each subnet that AWS keeps for itself, and the last one
USE_A_ROUTE = (
    "where nodes are in different subnets use the kit route, with an address outside the VPC's range"
)
Eni = Mapping[str, Any]  # as EC2 describes it


@dataclass(frozen=True)
class Surroundings:
    """The address, the ENI that is to have it, and the other nodes: name -> addresses of its comm paths."""

    aws: Aws
    address: IPv4Address
    interface: str
    peers: Mapping[str, Sequence[str]]

    async def findings(self) -> list[Finding]:
        """All that would make AWS refuse the address or take it from a stranger; raises AwsError."""
        try:
            answer = await self.aws.ec2("describe_network_interfaces", NetworkInterfaceIds=[self.interface])
        except AwsError as error:
            if error.kind is not AwsFault.NOT_FOUND:
                raise
            problem = f"{self.interface} doesn't exist in this region"
            return [Finding(problem, "correct `interface`, or use `device`")]
        own: Eni = answer["NetworkInterfaces"][0]
        others = await self._others(own["VpcId"])
        return [
            *await place_findings(self.aws, own),
            *await self._subnet_findings(own),
            *self._peer_findings(own, others),
            *self._holder_findings(own, others),
            *await self._limit_findings(own),
        ]

    async def _others(self, vpc: str) -> list[Eni]:
        """The ENIs of the VPC that have the address, or one of the other nodes'."""
        addresses = [str(self.address), *(path for paths in self.peers.values() for path in paths)]
        filters = [
            {"Name": "vpc-id", "Values": [vpc]},
            {"Name": "addresses.private-ip-address", "Values": addresses},
        ]
        answer = await self.aws.ec2("describe_network_interfaces", Filters=filters)
        return list(answer["NetworkInterfaces"])

    async def _subnet_findings(self, own: Eni) -> list[Finding]:
        (subnet,) = (await self.aws.ec2("describe_subnets", SubnetIds=[own["SubnetId"]]))["Subnets"]
        network, name = IPv4Network(subnet["CidrBlock"]), subnet["SubnetId"]
        where = f"{name} ({network}, {subnet['AvailabilityZone']})"
        if self.address not in network:
            problem = f"{self.address} isn't of {where}, the subnet of {self.interface}, and can't come there"
            return [Finding(problem, f"choose an address of {network}; {USE_A_ROUTE}")]
        offset = int(self.address) - int(network.network_address)
        if offset < RESERVED_FIRST or self.address == network.broadcast_address:
            problem = f"{self.address} is one of those that AWS keeps for itself in {where}"
            return [Finding(problem, f"choose another address of {network}")]
        return []

    def _peer_findings(self, own: Eni, others: Sequence[Eni]) -> Iterator[Finding]:
        zone = own["AvailabilityZone"]
        for peer, paths in self.peers.items():
            for each in others:
                if _addresses(each).keys() & set(paths) and each["AvailabilityZone"] != zone:
                    problem = (
                        f"{peer} is in {each['AvailabilityZone']}, but the subnet of {self.address} in {zone}"
                    )
                    yield Finding(problem, f"{USE_A_ROUTE}; or run the hierarchy in one zone")
                    break

    def _holder_findings(self, own: Eni, others: Sequence[Eni]) -> Iterator[Finding]:
        """Who has the address now, unless that is a node of the cluster."""
        seen = {peer: _instances(others, paths) for peer, paths in self.peers.items()}
        cluster = {_instance(own)}.union(*seen.values())
        for holder in others:
            held = _addresses(holder).get(str(self.address))
            if held is None:
                continue
            name, instance = holder["NetworkInterfaceId"], _instance(holder)
            if held.get("Primary"):
                problem = f"{self.address} is the primary address of {name}, which never moves"
                yield Finding(problem, "choose an address that no ENI has")
            elif instance not in cluster and all(seen.values()):
                problem = (
                    f"{self.address} is at {name} of {instance or 'no instance'}, no node of this hierarchy"
                )
                command = f"aws ec2 unassign-private-ip-addresses --network-interface-id {name}"
                remedy = f"choose another address, or: {command} --private-ip-addresses {self.address}"
                yield Finding(problem, remedy)

    async def _limit_findings(self, own: Eni) -> list[Finding]:
        """Whether the ENI can have one more address: that depends on the instance's type."""
        instance, has = _instance(own), _addresses(own)
        if not instance or str(self.address) in has:
            return []
        answer = await self.aws.ec2("describe_instances", InstanceIds=[instance])
        kind = answer["Reservations"][0]["Instances"][0]["InstanceType"]
        (told,) = (await self.aws.ec2("describe_instance_types", InstanceTypes=[kind]))["InstanceTypes"]
        limit = int(told["NetworkInfo"]["Ipv4AddressesPerInterface"])
        if len(has) + len(own.get("Ipv4Prefixes", ())) < limit:
            return []
        problem = f"{self.interface} has {limit} addresses, and a {kind} can have no more at one ENI"
        return [Finding(problem, "unassign one of them, use another ENI, or a larger instance type")]


def _addresses(eni: Eni) -> dict[str, Mapping[str, Any]]:
    return {each["PrivateIpAddress"]: each for each in eni["PrivateIpAddresses"]}


def _instance(eni: Eni) -> str:
    """The instance it is attached to, or ""."""
    return str(eni.get("Attachment", {}).get("InstanceId", ""))


def _instances(enis: Sequence[Eni], addresses: Sequence[str]) -> set[str]:
    """Those of which an ENI has one of the addresses."""
    return {_instance(each) for each in enis if _addresses(each).keys() & set(addresses)}
