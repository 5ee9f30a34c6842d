"""What `kage check` says about a route's surroundings, each with the command that mends it."""

from __future__ import annotations

from collections.abc import Collection

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Ec2, Finding


def missing_table(table: str) -> Finding:
    """A configured table that AWS doesn't have."""
    return Finding(
        f"route table {table} doesn't exist in this region",
        "correct route_tables; `aws ec2 describe-route-tables` lists what there is",
    )


async def interface_findings(ec2: Ec2, interface: str, vpcs: Collection[str]) -> list[Finding]:
    """What is wrong with the ENI as the target of routes in tables of `vpcs`; raises AwsError."""
    try:
        answer = await ec2("describe_network_interfaces", NetworkInterfaceIds=[interface])
    except AwsError as error:
        if error.kind is not AwsFault.NOT_FOUND:
            raise
        return [Finding(f"{interface} doesn't exist in this region", "correct `interface`, or use `device`")]
    findings: list[Finding] = []
    eni = answer["NetworkInterfaces"][0]
    if eni.get("SourceDestCheck", True):
        findings.append(
            Finding(
                f"{interface} drops packets for other addresses than its own: its source/dest check is on",
                "aws ec2 modify-network-interface-attribute "
                f"--network-interface-id {interface} --no-source-dest-check",
            )
        )
    if strange := sorted(set(vpcs) - {eni["VpcId"]}):
        problem = f"{interface} is in {eni['VpcId']}, but there are route tables of {', '.join(strange)}"
        findings.append(Finding(problem, "route to an ENI of the same VPC: correct route_tables"))
    return findings
