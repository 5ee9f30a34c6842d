"""What each state of a target means: over a scripted AWS, for moto finds every target healthy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.aws import AwsError, AwsFault, Machine
from agent.core.states import Health
from recovery_kits.contract import Check, KitError, Tools
from recovery_kits.target_group import TargetGroupKit, TargetGroupParameters
from recovery_kits.target_group.health import read_targets
from tests.kits.acting import no_command
from tests.kits.target_group.test_actions import NO_GROUP

OWN, OTHER = "i-0123456789abcdef1", "i-0123456789abcdef2"
PORT = 443
Described = dict[str, Any]


def target(name: str, state: str, reason: str = "", *, port: int = PORT, text: str = "") -> Described:
    health = {"State": state, "Reason": reason, "Description": text}
    return {"Target": {"Id": name, "Port": port}, "TargetHealth": {k: v for k, v in health.items() if v}}


class Elb:
    """An AWS with one target group, whose targets are as told; what changes it is kept in `changes`."""

    def __init__(self, *targets: Described) -> None:
        self.targets, self.changes = targets, list[tuple[str, Any]]()
        self.refuse: dict[str, str] = {}  # operation -> code

    async def identity(self) -> Machine:
        return Machine(instance_id=OWN, region="r", availability_zone="ra", interfaces={})

    async def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        assert service == "elbv2"
        if operation == "describe_target_health":
            return {"TargetHealthDescriptions": list(self.targets)}
        self.changes.append((operation, parameters["Targets"]))
        if code := self.refuse.get(operation):
            raise AwsError(AwsFault.REFUSED, operation, code, "no")
        return {}

    def kit(self) -> TargetGroupKit:
        tools = Tools("targets", "db-01", no_command, self)  # type: ignore[arg-type]
        wanted = TargetGroupParameters(target_groups=(NO_GROUP,), port=PORT, instances=(OWN, OTHER))
        return TargetGroupKit(wanted, tools)


def check(*targets: Described) -> Check:
    return asyncio.run(Elb(*targets).kit().quick_check())


@pytest.mark.parametrize(
    ("state", "reason", "health"),
    [
        ("healthy", "", Health.OK),
        ("initial", "Elb.RegistrationInProgress", Health.OK),
        ("initial", "Elb.InitialHealthChecking", Health.OK),
        ("unavailable", "Target.HealthCheckDisabled", Health.OK),
        # The load balancer's opinion is an alarm, and moves nothing.
        ("unhealthy", "Target.Timeout", Health.UNKNOWN),
        ("unhealthy", "Target.FailedHealthChecks", Health.UNKNOWN),
        ("unhealthy", "Target.ResponseCodeMismatch", Health.UNKNOWN),
        ("unhealthy.draining", "Target.FailedHealthChecks", Health.UNKNOWN),
        ("unavailable", "Elb.InternalError", Health.UNKNOWN),
        ("unused", "Target.NotInUse", Health.UNKNOWN),
        ("unused", "Target.InvalidState", Health.UNKNOWN),
        ("unused", "Target.IpUnusable", Health.UNKNOWN),
        ("a state of years to come", "", Health.UNKNOWN),
        # Not registered: somebody has taken it out.
        ("unused", "Target.NotRegistered", Health.FAILED),
        ("draining", "Target.DeregistrationInProgress", Health.FAILED),
    ],
)
def test_only_a_target_that_is_not_registered_fails_the_check(
    state: str, reason: str, health: Health
) -> None:
    answer = check(target(OWN, state, reason))
    assert answer.health is health
    assert (answer.why == "") is (health is Health.OK)


def test_what_the_load_balancer_says_is_told() -> None:
    why = check(target(OWN, "unhealthy", "Target.Timeout", text="Request timed out")).why
    assert why == f"none: the load balancer finds {OWN} unhealthy: Target.Timeout, Request timed out"


@pytest.mark.parametrize(
    ("state", "reason", "health"),
    [
        ("draining", "Target.DeregistrationInProgress", Health.OK),
        ("unused", "Target.NotRegistered", Health.OK),
        ("healthy", "", Health.FAILED),
        ("initial", "Elb.RegistrationInProgress", Health.FAILED),
        ("unhealthy", "Target.Timeout", Health.FAILED),  # with no healthy one beside it, it gets connections
    ],
)
def test_another_nodes_target_must_be_gone_or_draining(state: str, reason: str, health: Health) -> None:
    assert check(target(OWN, "healthy"), target(OTHER, state, reason)).health is health


def test_the_same_instances_on_another_port_are_another_services() -> None:
    aside = target(OTHER, "healthy", port=8_443)
    assert check(target(OWN, "healthy"), aside).health is Health.OK
    assert check(target(OWN, "healthy", port=8_443)).health is Health.FAILED


def test_changes_name_the_port() -> None:
    elb = Elb(target(OWN, "initial", "Elb.RegistrationInProgress"))
    asyncio.run(elb.kit().restore())
    assert elb.changes == [
        ("register_targets", [{"Id": OWN, "Port": PORT}]),
        ("deregister_targets", [{"Id": OTHER, "Port": PORT}]),
    ]


def test_an_instance_that_is_terminated_needs_no_deregistration() -> None:
    elb = Elb(target(OWN, "healthy"))
    elb.refuse["deregister_targets"] = "InvalidTarget"
    asyncio.run(elb.kit().restore())


def test_an_instance_that_can_not_be_registered_is_a_failure() -> None:
    elb = Elb(target(OTHER, "healthy"))
    elb.refuse["register_targets"] = "InvalidTarget"
    with pytest.raises(KitError, match="none: register_targets: InvalidTarget"):
        asyncio.run(elb.kit().restore())
    assert [operation for operation, _ in elb.changes] == ["register_targets"]


def test_an_ipv6_target_is_known_however_it_is_spelt() -> None:
    answer = {"TargetHealthDescriptions": [target("FD00:0:0:0::4", "healthy")]}
    assert list(read_targets(answer, PORT)) == ["fd00::4"]
