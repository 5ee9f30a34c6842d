"""Targets as DescribeTargetHealth tells of them: who is registered, and what the load balancer thinks of it.

The first is this kit's work, the second is not: a load balancer that finds a target unhealthy tells of the
application or of the way to it. The application has checks of its own, and from a load balancer's way to one
node nothing follows for the other. So no opinion of it ever fails a check.

Source: the ELB API reference, version 2015-12-01, "TargetHealth".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

_WELL = frozenset({"initial", "healthy"})


@dataclass(frozen=True)
class Target:
    """One target of a group."""

    id: str
    state: str  # "healthy", …; see the source
    reason: str = ""  # "Target.FailedHealthChecks", …; none where it is healthy
    description: str = ""

    @property
    def registered(self) -> bool:
        """Whether new connections may be sent to it."""
        return self.state != "draining" and self.reason != "Target.NotRegistered"

    @property
    def doubt(self) -> str | None:
        """Why the load balancer may send it nothing though it is registered; None where it does."""
        if self.state in _WELL or self.reason == "Target.HealthCheckDisabled":
            return None
        said = ", ".join(filter(None, (self.reason, self.description)))
        return f"the load balancer finds {self.id} {self.state}: {said or 'it gives no reason'}"


def read_targets(answer: Mapping[str, Any], port: int) -> dict[str, Target]:
    """The targets with that port of a DescribeTargetHealth answer, by id: others are another service's."""
    described = answer["TargetHealthDescriptions"]
    targets = (_read_target(each) for each in described if each["Target"].get("Port") == port)
    return {target.id: target for target in targets}


def why_not(targets: Mapping[str, Target], own: str, others: Collection[str]) -> str | None:
    """What is wrong unless of the cluster's targets just `own` is registered."""
    wrong = [
        f"{other} is registered beside {own}"
        for other in others
        if other in targets and targets[other].registered
    ]
    if own not in targets:
        wrong.insert(0, f"{own} isn't registered")
    elif not targets[own].registered:
        wrong.insert(0, f"{own} is {targets[own].state}: {targets[own].reason}")
    return ", ".join(wrong) or None


def _read_target(described: Mapping[str, Any]) -> Target:
    health = described.get("TargetHealth", {})
    return Target(
        _plain(described["Target"]["Id"]),
        health.get("State", "in an unknown state"),
        health.get("Reason", ""),
        health.get("Description", ""),
    )


def _plain(target: str) -> str:
    """IPv6 addresses have many spellings."""
    return str(ip_address(target)) if ":" in target else target
