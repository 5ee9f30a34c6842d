"""The ENI that a kit works on: the one behind a device of this machine, or one that is named instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Aws, Finding

InterfaceId = Annotated[str, Meta(pattern=r"^eni-[0-9a-f]{8,17}\Z", examples=["eni-0123456789abcdef0"])]


async def find_interface(aws: Aws, interface: str | None, device: str) -> str:
    """`interface`, or else the id of the ENI behind `device`.

    Raises AwsError; NOT_FOUND where the device is no ENI of this machine, also when IMDS is read anew.
    """
    if interface:
        return interface
    try:
        return (await aws.identity()).interface(device)
    except AwsError as error:
        if error.kind is not AwsFault.NOT_FOUND:
            raise
    return (await aws.refresh_identity()).interface(device)  # it may have come since the identity was read


async def place_findings(aws: Aws, eni: Mapping[str, Any]) -> list[Finding]:
    """Whether the ENI, as EC2 describes it, is at this machine.

    Named once for all nodes it would lead to the same machine after each failover, and no action would fail.
    """
    attachment = eni.get("Attachment", {})
    holder = attachment.get("InstanceId")
    if attachment and holder is None:
        return []  # in a shared VPC only the owner of the instance is told
    try:
        own = (await aws.identity()).instance_id
    except AwsError as error:  # what else there is to find is found all the same
        remedy = error.step or "try again when IMDS answers"
        return [Finding(str(error), remedy, certain=not error.unanswered)]
    if holder == own:
        return []
    problem = f"{eni['NetworkInterfaceId']} is at {holder or 'no instance'}, but this node is {own}"
    return [Finding(problem, "give each node its own as `node.NAME.interface`, or use `device`")]
