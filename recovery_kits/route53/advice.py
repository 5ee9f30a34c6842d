"""What `kage check` says about a record's surroundings, each with what mends it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recovery_kits.contract import Finding
from recovery_kits.route53.parameters import Route53Parameters
from recovery_kits.route53.records import Owner, Reading


def zone_findings(zone: Mapping[str, Any], parameters: Route53Parameters) -> list[Finding]:
    """Whether the zone (as GetHostedZone tells of it) can hold the record."""
    name, apex = parameters.name, zone["Name"].rstrip(".").lower()
    if name != apex and not name.endswith(f".{apex}"):
        problem = f"{name} isn't in the zone {parameters.hosted_zone_id}, which is {apex}"
        return [Finding(problem, f"correct hosted_zone_id, or write a name that ends in .{apex}")]
    if name == apex and parameters.record_type == "CNAME":
        return [
            Finding(f"{name} is the zone itself, and can't be a CNAME", "use A or AAAA, or a name below it")
        ]
    return []


def record_findings(reading: Reading, parameters: Route53Parameters, me: Owner) -> list[Finding]:
    """Whether the record may be written: whose it is, and what else stands at its name."""
    name, kind = parameters.name, parameters.record_type
    findings = []
    if objection := reading.objection(me, adopt=parameters.adopt):
        problem, remedy = objection
        findings.append(Finding(f"{name} {kind} can't be written: {problem}", remedy))
    clashing = reading.other_types if kind == "CNAME" else reading.other_types & {"CNAME"}
    if clashing:
        problem = (
            f"{name} has other records already ({', '.join(sorted(clashing))}): no {kind} can stand beside"
        )
        findings.append(Finding(problem, "delete those, or choose another name"))
    return findings
