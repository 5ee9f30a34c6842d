"""What `kage check` says about target groups and their surroundings, each with what mends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Aws, Finding


@dataclass(frozen=True)
class Advice:
    """Looks at groups as a node of this zone would use them."""

    aws: Aws
    zone: str

    async def findings(self, groups: Sequence[str], instances: Sequence[str]) -> list[Finding]:
        """What is wrong with the groups, and with the instances as their targets; raises AwsError."""
        findings: list[Finding] = []
        vpcs: set[str] = set()
        for arn in groups:
            group = await self._group(arn)
            if group is None:
                findings.append(
                    Finding(
                        f"target group {arn} doesn't exist",
                        "correct target_groups; `aws elbv2 describe-target-groups` lists what there is",
                    )
                )
                continue
            vpcs.add(group.get("VpcId", ""))
            findings += _type_finding(group, "instance" if instances else "ip")
            findings += await self._balancer_findings(group)
        for instance in instances:
            findings += await self._instance_findings(instance, vpcs)
        return findings

    async def _group(self, arn: str) -> Mapping[str, Any] | None:
        try:
            answer = await self.aws.call("elbv2", "describe_target_groups", TargetGroupArns=[arn])
        except AwsError as error:
            if error.kind is not AwsFault.NOT_FOUND:
                raise
            return None
        found: Mapping[str, Any] = answer["TargetGroups"][0]
        return found

    async def _balancer_findings(self, group: Mapping[str, Any]) -> list[Finding]:
        """Whether load balancers use the group, and reach this zone."""
        name, balancers = group["TargetGroupName"], group.get("LoadBalancerArns", [])
        if not balancers:
            return [Finding(f"no load balancer uses {name}", "forward a listener to it")]
        answer = await self.aws.call("elbv2", "describe_load_balancers", LoadBalancerArns=list(balancers))
        return [
            Finding(
                f"{each['LoadBalancerName']} isn't enabled in {self.zone}: it sends this node nothing",
                f"aws elbv2 set-subnets --load-balancer-arn {each['LoadBalancerArn']} --subnets … "
                f"(those it has, and one of {self.zone})",
            )
            for each in answer["LoadBalancers"]
            if self.zone not in {zone["ZoneName"] for zone in each["AvailabilityZones"]}
        ]

    async def _instance_findings(self, instance: str, vpcs: set[str]) -> list[Finding]:
        try:
            answer = await self.aws.ec2("describe_instances", InstanceIds=[instance])
        except AwsError as error:
            if error.kind is not AwsFault.NOT_FOUND:
                raise
            return [Finding(f"{instance} doesn't exist in this region", "correct instances")]
        vpc = answer["Reservations"][0]["Instances"][0].get("VpcId", "")
        if strange := sorted(vpcs - {vpc}):
            problem = (
                f"{instance} is in {vpc or 'no VPC'}, but there are target groups of {', '.join(strange)}"
            )
            return [Finding(problem, "use target groups of the nodes' VPC, or addresses of target type ip")]
        return []


def _type_finding(group: Mapping[str, Any], wanted: str) -> list[Finding]:
    found = group["TargetType"]
    if found == wanted:
        return []
    remedies = {
        "instance": "name the nodes in `instances`",
        "ip": "name the nodes in `addresses`",
    }
    remedy = remedies.get(found, "use a target group whose target type is instance or ip")
    return [Finding(f"{group['TargetGroupName']}'s target type is {found}, not {wanted}", remedy)]
