"""What `kage check` says about a volume, each with what mends it."""

from __future__ import annotations

import json
from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.attachment import look_at, missing_permission
from recovery_kits.contract import Ec2, Finding, Identity, Tools
from recovery_kits.ebs.volume import Volume, describe


async def volume_findings(name: str, device_name: str, tools: Tools) -> list[Finding]:
    """What would keep this node from getting the volume, or lose it; raises AwsError."""
    ec2, here = tools.aws.ec2, await tools.aws.identity()
    try:
        volume = await describe(ec2, name)
    except AwsError as error:
        if error.kind is not AwsFault.NOT_FOUND:
            raise
        remedy = "correct volume; `aws ec2 describe-volumes` lists what there is"
        return [Finding(f"{name} doesn't exist in this region", remedy)]
    if never := volume.why_never(here.availability_zone):
        return [Finding(*never)]
    target: dict[str, Any] = {"VolumeId": name, "InstanceId": here.instance_id}
    return [
        *await _taken_name(ec2, here, volume, device_name),
        *await _holder_findings(volume, here.instance_id, tools),
        *await missing_permission(ec2, "attach_volume", Device=device_name, **target),
        *await missing_permission(ec2, "detach_volume", **target),
    ]


async def _taken_name(ec2: Ec2, here: Identity, volume: Volume, device_name: str) -> list[Finding]:
    answer = await ec2("describe_instances", InstanceIds=[here.instance_id])
    for instance in (each for group in answer["Reservations"] for each in group["Instances"]):
        for mapping in instance.get("BlockDeviceMappings", ()):
            other = mapping.get("Ebs", {}).get("VolumeId")
            if mapping["DeviceName"] == device_name and other != volume.id:
                remedy = "set device_name to one that is free on this node"
                return [Finding(f"{device_name} is the name of {other} on {here.instance_id}", remedy)]
    return []


async def _holder_findings(volume: Volume, here: str, tools: Tools) -> list[Finding]:
    """What is to be said about the instance that has it now."""
    at = volume.attachment
    if at is None:
        return []
    findings: list[Finding] = []
    if at.instance != here and (why := (await look_at(tools.aws.ec2, at.instance, here)).objection(tools)):
        remedy = f"aws ec2 detach-volume --volume-id {volume.id} --instance-id {at.instance}"
        findings.append(Finding(f"{volume.id} {why}", f"unmount it there; {remedy}"))
    if volume.dies_with_instance:
        mapping = json.dumps([{"DeviceName": volume.device_name, "Ebs": {"DeleteOnTermination": False}}])
        findings.append(
            Finding(
                f"{volume.id} is deleted when {at.instance} is terminated",
                f"aws ec2 modify-instance-attribute --instance-id {at.instance} "
                f"--block-device-mappings '{mapping}'",
            )
        )
    return findings
