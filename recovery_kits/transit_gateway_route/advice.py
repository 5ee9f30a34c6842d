"""What `kage check` says about a transit gateway's side, each with what mends it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from recovery_kits.contract import Aws, Finding
from recovery_kits.transit_gateway_route.parameters import TransitGatewayRouteParameters


async def findings(aws: Aws, parameters: TransitGatewayRouteParameters) -> list[Finding]:
    """Whether tables and attachments exist and belong together, and the node is behind them.

    Raises AwsError.
    """
    role, named = parameters.role_arn, parameters.attachment_of
    tables = await _tables(aws, named.keys(), role)
    attachments = await _attachments(aws, set(named.values()), role)
    found = [
        Finding(
            f"transit gateway route table {table} doesn't exist in this region",
            "correct route_tables; `aws ec2 describe-transit-gateway-route-tables` lists what there is",
        )
        for table in named
        if table not in tables
    ]
    for table, attachment in named.items():
        if table in tables and attachment in attachments:
            theirs, ours = tables[table], attachments[attachment]["TransitGatewayId"]
            if theirs != ours:
                problem = f"{table} belongs to {theirs}, but {attachment} to {ours}"
                found.append(Finding(problem, "name an attachment for each table, in their order"))
    for attachment in sorted(set(named.values())):
        if attachment in attachments:
            found += await _place_findings(aws, attachments[attachment])
        else:
            problem = f"VPC attachment {attachment} doesn't exist in this region"
            step = (
                "correct attachments; `aws ec2 describe-transit-gateway-vpc-attachments` lists what there is"
            )
            found.append(Finding(problem, step))
    return found


async def _tables(aws: Aws, ids: Collection[str], role: str | None) -> dict[str, str]:
    """Each of the tables that exists, and its transit gateway."""
    named = [{"Name": "transit-gateway-route-table-id", "Values": sorted(ids)}]
    answer = await aws.ec2("describe_transit_gateway_route_tables", role=role, Filters=named)
    listed = answer["TransitGatewayRouteTables"]
    return {each["TransitGatewayRouteTableId"]: each["TransitGatewayId"] for each in listed}


async def _attachments(aws: Aws, ids: Collection[str], role: str | None) -> dict[str, dict[str, Any]]:
    """Each of the attachments that exists, as EC2 describes it."""
    named = [{"Name": "transit-gateway-attachment-id", "Values": sorted(ids)}]
    answer = await aws.ec2("describe_transit_gateway_vpc_attachments", role=role, Filters=named)
    return {each["TransitGatewayAttachmentId"]: each for each in answer["TransitGatewayVpcAttachments"]}


async def _place_findings(aws: Aws, attachment: Mapping[str, Any]) -> list[Finding]:
    """Whether packets that leave the transit gateway here reach this node: its VPC, its zone."""
    name, state = attachment["TransitGatewayAttachmentId"], attachment["State"]
    if state != "available":
        return [Finding(f"{name} is {state}", "accept it in the transit gateway's account, or make it anew")]
    identity = await aws.identity()
    answer = await aws.ec2("describe_instances", InstanceIds=[identity.instance_id])
    vpc = answer["Reservations"][0]["Instances"][0]["VpcId"]
    if attachment["VpcId"] != vpc:
        problem = f"{name} leads to {attachment['VpcId']}, but this node is in {vpc}"
        return [Finding(problem, "give each node the attachment of its own VPC")]
    subnets = await aws.ec2("describe_subnets", SubnetIds=list(attachment["SubnetIds"]))
    zones = {each["AvailabilityZone"] for each in subnets["Subnets"]}
    if identity.availability_zone in zones:
        return []
    return [
        Finding(
            f"{name} has no subnet in {identity.availability_zone}, where this node is: "
            "its answers don't reach the transit gateway",
            "aws ec2 modify-transit-gateway-vpc-attachment "
            f"--transit-gateway-attachment-id {name} --add-subnet-ids subnet-…",
        )
    ]
