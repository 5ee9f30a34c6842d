"""What `kage check` says about an Elastic IP's surroundings, each with the command that mends it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Aws, Ec2, Finding
from recovery_kits.elastic_ip.address import Address
from recovery_kits.interface import place_findings


def address_findings(address: Address) -> list[Finding]:
    """What is wrong with the address itself."""
    if address.domain == "vpc":
        return []
    problem = f"{address.public} is of the domain {address.domain or '(none)'}, and can't lead to an ENI"
    return [Finding(problem, "aws ec2 allocate-address --domain vpc")]


async def interface_findings(
    aws: Aws, address: Address, interface: str, private: IPv4Address | None
) -> list[Finding]:
    """What is wrong with the ENI as the place for `address`; raises AwsError."""
    try:
        answer = await aws.ec2("describe_network_interfaces", NetworkInterfaceIds=[interface])
    except AwsError as error:
        if error.kind is not AwsFault.NOT_FOUND:
            raise
        return [Finding(f"{interface} doesn't exist in this region", "correct `interface`, or use `device`")]
    eni = answer["NetworkInterfaces"][0]
    return [
        *await place_findings(aws, eni),
        *_private_findings(eni, address, private),
        *await _gateway_findings(aws.ec2, eni["VpcId"]),
    ]


def _private_findings(eni: Mapping[str, Any], address: Address, private: IPv4Address | None) -> list[Finding]:
    """Whether the ENI has the address to which the Elastic IP is to lead, and whether that is free."""
    interface, wanted = eni["NetworkInterfaceId"], str(private or eni["PrivateIpAddress"])
    own = {each["PrivateIpAddress"]: each for each in eni["PrivateIpAddresses"]}
    if wanted not in own:
        return [
            Finding(
                f"{wanted} is no address of {interface}, which has {', '.join(own)}",
                "correct private_address for this node, or: aws ec2 assign-private-ip-addresses "
                f"--network-interface-id {interface} --private-ip-addresses {wanted}",
            )
        ]
    held = own[wanted].get("Association", {})
    if held.get("AllocationId", address.allocation) == address.allocation:
        return []  # nothing, ours, or a passing one of Amazon's that gives way
    other = f"{held.get('PublicIp', '?')} ({held['AllocationId']})"
    return [
        Finding(
            f"{wanted} on {interface} has the Elastic IP {other}, which this one would drive out",
            "name another address of the ENI as private_address, or: aws ec2 disassociate-address "
            f"--association-id {held.get('AssociationId', '…')}",
        )
    ]


async def _gateway_findings(ec2: Ec2, vpc: str) -> list[Finding]:
    """An Elastic IP can't be associated in a VPC without an internet gateway."""
    here = [{"Name": "attachment.vpc-id", "Values": [vpc]}]
    if (await ec2("describe_internet_gateways", Filters=here))["InternetGateways"]:
        return []
    command = f"aws ec2 attach-internet-gateway --internet-gateway-id igw-… --vpc-id {vpc}"
    return [Finding(f"{vpc} has no internet gateway, so no Elastic IP can lead into it", command)]
