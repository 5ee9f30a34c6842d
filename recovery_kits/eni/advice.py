"""What `kage check` says about a network interface, each with what mends it."""

from __future__ import annotations

from agent.aws import AwsError, AwsFault
from recovery_kits.attachment import look_at, missing_permission
from recovery_kits.contract import Ec2, Finding, Identity, Tools
from recovery_kits.eni.interface import Interface, describe


async def interface_findings(name: str, mac: str, device_index: int, tools: Tools) -> list[Finding]:
    """What would keep this node from getting the interface, or lose it; raises AwsError."""
    ec2, here = tools.aws.ec2, await tools.aws.identity()
    try:
        interface = await describe(ec2, name)
    except AwsError as error:
        if error.kind is not AwsFault.NOT_FOUND:
            raise
        remedy = "correct interface; `aws ec2 describe-network-interfaces` lists what there is"
        return [Finding(f"{name} doesn't exist in this region", remedy)]
    if never := interface.why_never(here.availability_zone, mac):
        return [Finding(*never)]
    at = interface.attachment
    may_detach = await missing_permission(ec2, "detach_network_interface", AttachmentId=at.id) if at else []
    return [
        *await _taken_index(ec2, here, interface, device_index),
        *await _holder_findings(interface, here.instance_id, tools),
        *await missing_permission(
            ec2,
            "attach_network_interface",
            NetworkInterfaceId=name,
            InstanceId=here.instance_id,
            DeviceIndex=device_index,
        ),
        *may_detach,
    ]


async def _taken_index(ec2: Ec2, here: Identity, interface: Interface, device_index: int) -> list[Finding]:
    answer = await ec2("describe_instances", InstanceIds=[here.instance_id])
    for instance in (each for group in answer["Reservations"] for each in group["Instances"]):
        for other in instance.get("NetworkInterfaces", ()):
            name, index = other["NetworkInterfaceId"], other["Attachment"]["DeviceIndex"]
            if index == device_index and name != interface.id:
                remedy = "set device_index to one that is free on this node"
                return [Finding(f"{name} has the device index {index} on {here.instance_id}", remedy)]
    return []


async def _holder_findings(interface: Interface, here: str, tools: Tools) -> list[Finding]:
    """What is to be said about the instance that has it now."""
    at = interface.attachment
    if at is None:
        return []
    findings: list[Finding] = []
    if at.instance != here and (why := (await look_at(tools.aws.ec2, at.instance, here)).objection(tools)):
        remedy = f"aws ec2 detach-network-interface --attachment-id {at.id}"
        findings.append(Finding(f"{interface.id} {why}", remedy))
    if interface.dies_with_instance:
        findings.append(
            Finding(
                f"{interface.id} is deleted when {at.instance} is terminated",
                f"aws ec2 modify-network-interface-attribute --network-interface-id {interface.id} "
                f"--attachment AttachmentId={at.id},DeleteOnTermination=false",
            )
        )
    return findings
