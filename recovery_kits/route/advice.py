"""What `kage check` says about a route's surroundings, each with the command that mends it."""

from __future__ import annotations

import shlex
from collections.abc import Collection

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Aws, Finding
from recovery_kits.route.parameters import RouteParameters
from recovery_kits.route.tables import PrefixListId, destination_parameter


def missing_table(table: str) -> Finding:
    """A configured table that AWS doesn't have."""
    return Finding(
        f"route table {table} doesn't exist in this region",
        "correct route_tables; `aws ec2 describe-route-tables` lists what there is",
    )


def nothing_found(parameters: RouteParameters, vpc: str) -> Finding:
    """A search that was answered, and found no table."""
    if tag := parameters.tag:
        key, value = tag
        return Finding(
            f"no route table of {vpc} has the tag {key}={value}",
            "tag each one whose subnets are to reach the destination: aws ec2 create-tags --resources rtb-… "
            f"--tags {shlex.quote(f'Key={key},Value={value}')}",
        )
    ((name, destination),) = destination_parameter(parameters.destination).items()
    option = {
        "DestinationCidrBlock": "--destination-cidr-block",
        "DestinationIpv6CidrBlock": "--destination-ipv6-cidr-block",
        "DestinationPrefixListId": "--destination-prefix-list-id",
    }[name]
    return Finding(
        f"no route table of {vpc} has a route to {destination}",
        "make the first one in each table whose subnets are to reach it: aws ec2 create-route "
        f"--route-table-id rtb-… {option} {destination} --network-interface-id eni-…",
    )


async def interface_findings(
    aws: Aws, parameters: RouteParameters, interface: str, vpcs: Collection[str]
) -> list[Finding]:
    """What is wrong with the ENI as the target of routes in tables of `vpcs`; raises AwsError."""
    try:
        answer = await aws.ec2("describe_network_interfaces", NetworkInterfaceIds=[interface])
    except AwsError as error:
        if error.kind is not AwsFault.NOT_FOUND:
            raise
        return [Finding(f"{interface} doesn't exist in this region", "correct `interface`, or use `device`")]
    findings: list[Finding] = []
    eni = answer["NetworkInterfaces"][0]
    if eni.get("SourceDestCheck", True) and not parameters.repair_source_dest_check:
        findings.append(
            Finding(
                f"{interface} drops packets for other addresses than its own: its source/dest check is on",
                "aws ec2 modify-network-interface-attribute "
                f"--network-interface-id {interface} --no-source-dest-check",
            )
        )
    if strange := sorted(set(vpcs) - {eni["VpcId"]}):
        problem = f"{interface} is in {eni['VpcId']}, but there are route tables of {', '.join(strange)}"
        remedy = "route to an ENI of the same VPC: correct route_tables, or vpc"
        findings.append(Finding(problem, remedy))
    return findings


async def prefix_list_findings(aws: Aws, parameters: RouteParameters) -> list[Finding]:
    """Whether the destination exists, where it is a prefix list; raises AwsError."""
    wanted = parameters.destination
    if not isinstance(wanted, PrefixListId):
        return []
    answer = await aws.ec2(
        "describe_managed_prefix_lists",
        role=parameters.role_arn,
        Filters=[{"Name": "prefix-list-id", "Values": [wanted]}],
    )
    if answer["PrefixLists"]:
        return []
    remedy = "correct destination; `aws ec2 describe-managed-prefix-lists` lists what there is"
    return [Finding(f"prefix list {wanted} doesn't exist in this region", remedy)]
