"""Fencing through EC2: evidence or an error that says what to do, and never beyond its time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest

from agent.aws import AwsError, AwsFault, AwsSession
from agent.aws.errors import answered
from agent.config.fencing import Ec2Target
from agent.core.ids import NodeId
from agent.fencing.contract import FenceFailed, FenceUnanswered
from agent.fencing.ec2 import Ec2Fence
from tests.aws_server import REGION, AwsServer, Rule, World, throttle

ME, OTHER = NodeId("db-01"), NodeId("db-02")
INSTANCE, OWN = "i-0123456789abcdef0", "i-0aaaaaaaaaaaaaaaa"
LIMIT_MS = 700  # shorter than the configuration allows
BUSY = AwsError(AwsFault.THROTTLED, "DescribeInstances", "RequestLimitExceeded", "slow down")


def target(instance: str = INSTANCE, **changes: Any) -> Ec2Target:
    usual: dict[str, Any] = {"instance": instance, "limit_ms": LIMIT_MS}
    return Ec2Target(**usual | changes)


@pytest.fixture
def session(aws_server: AwsServer) -> Iterator[AwsSession]:
    with closing(AwsSession(REGION, connect_timeout_ms=300, read_timeout_ms=300)) as session:
        yield session


class Cluster:
    """db-01 with a fence for db-02, on the test server."""

    def __init__(self, runner: asyncio.Runner, server: AwsServer, world: World, session: AwsSession) -> None:
        self.runner, self.server, self.world, self.session = runner, server, world, session
        self.instance = world.node(OTHER).instance_id
        self.runner.run(session.ec2("describe_instances"))  # moto and botocore load lazily
        server.control.set_faults()
        server.forget_calls()

    def fence_of(self, **changes: Any) -> Ec2Fence:
        usual: dict[str, Any] = {"instance": self.instance, "limit_ms": 3_000}
        return Ec2Fence(ME, {OTHER: Ec2Target(**usual | changes)}, self.session.ec2)

    def fence(self, **changes: Any) -> str:
        return self.runner.run(self.fence_of(**changes).fence(OTHER))

    def failure(self, **changes: Any) -> FenceFailed:
        with pytest.raises(FenceFailed) as caught:
            self.fence(**changes)
        return caught.value

    def state(self, node: str = OTHER) -> str:
        instance = self.world.node(node).instance_id
        with closing(self.server.ec2()) as client:
            described = client.describe_instances(InstanceIds=[instance])
        return described["Reservations"][0]["Instances"][0]["State"]["Name"]

    def calls(self, operation: str) -> int:
        return sum(call.operation == f"ec2:{operation}" for call in self.server.control.journal())


@pytest.fixture
def cluster(runner: asyncio.Runner, aws_server: AwsServer, world: World, session: AwsSession) -> Cluster:
    return Cluster(runner, aws_server, world, session)


def test_a_running_instance_is_stopped_and_its_state_is_the_evidence(cluster: Cluster) -> None:
    assert cluster.fence() == f"{cluster.instance} is stopped"
    assert (cluster.state(OTHER), cluster.state(ME)) == ("stopped", "running")


def test_an_instance_that_is_stopped_already_is_fenced(cluster: Cluster) -> None:
    cluster.fence()
    assert cluster.fence() == f"{cluster.instance} is stopped"


def test_a_reboot_is_a_stop_with_evidence_and_then_a_start(cluster: Cluster) -> None:
    assert cluster.fence(action="reboot") == f"{cluster.instance} is stopped, and starts again"
    assert cluster.state() == "running"
    assert cluster.calls("RebootInstances") == 0


def test_a_node_that_cannot_be_started_again_is_fenced_all_the_same(cluster: Cluster) -> None:
    cluster.server.control.set_faults(
        Rule(operation="ec2:StartInstances", fault="error", status=403, code="UnauthorizedOperation")
    )
    evidence = cluster.fence(action="reboot")
    assert evidence.startswith(f"{cluster.instance} is stopped; starting it again failed: ")
    assert "ec2:StartInstances" in evidence


@pytest.mark.parametrize(
    "rule",
    [
        throttle("ec2:StopInstances", left=1),
        Rule(operation="ec2:StopInstances", fault="error", status=500, code="InternalError", left=1),
        Rule(operation="ec2:StopInstances", fault="drop-before", left=1),
        Rule(operation="ec2:StopInstances", fault="drop-after", left=1),
        throttle("ec2:DescribeInstances", left=2),
        Rule(operation="ec2:DescribeInstances", fault="hang", left=1),
    ],
    ids=lambda rule: f"{rule.operation[4:]}-{rule.fault}-{rule.status}",
)
def test_a_passing_fault_delays_fencing(cluster: Cluster, rule: Rule) -> None:
    cluster.server.control.set_faults(rule)
    assert cluster.fence() == f"{cluster.instance} is stopped"


def test_a_stop_whose_answer_is_lost_is_found_out_by_looking(cluster: Cluster) -> None:
    cluster.server.control.set_faults(Rule(operation="ec2:StopInstances", fault="drop-after"))
    assert cluster.fence() == f"{cluster.instance} is stopped"


@pytest.mark.parametrize(
    "rule",
    [
        throttle(),
        Rule(fault="error", status=500, code="InternalError"),
        Rule(fault="drop-before"),
        Rule(fault="hang"),
        throttle("ec2:DescribeInstances"),  # stopped in truth, but nobody says so
    ],
    ids=lambda rule: f"{rule.operation}-{rule.fault}-{rule.status}",
)
def test_a_lasting_fault_is_no_evidence(cluster: Cluster, rule: Rule) -> None:
    cluster.server.control.set_faults(rule)
    with pytest.raises(FenceUnanswered, match=f"{cluster.instance} isn't known to be stopped after 0.9 s"):
        cluster.fence(limit_ms=900)


@pytest.mark.parametrize(
    ("operation", "code", "says"),
    [
        ("StopInstances", "UnauthorizedOperation", "give the node's role ec2:StopInstances"),
        ("DescribeInstances", "UnauthorizedOperation", "give the node's role ec2:DescribeInstances"),
        ("StopInstances", "ExpiredToken", "instance profile"),
        ("StopInstances", "UnsupportedOperation", "EBS root volume"),
    ],
)
def test_a_refusal_names_what_the_operator_can_do(
    cluster: Cluster, operation: str, code: str, says: str
) -> None:
    cluster.server.control.set_faults(
        Rule(operation=f"ec2:{operation}", fault="error", status=403, code=code)
    )
    failure = cluster.failure()
    assert code in failure.text
    assert says in failure.step


def test_a_refused_stop_of_a_stopped_instance_is_no_failure(cluster: Cluster) -> None:
    cluster.fence()
    cluster.server.control.set_faults(
        Rule(operation="ec2:StopInstances", fault="error", status=403, code="UnauthorizedOperation")
    )
    assert cluster.fence() == f"{cluster.instance} is stopped"


def test_an_unknown_instance_is_no_evidence(cluster: Cluster) -> None:
    failure = cluster.failure(instance=INSTANCE)
    assert "InvalidInstanceID.NotFound" in failure.text
    assert "correct the instance id" in failure.step


def test_stop_protection_is_told_with_the_command_that_lifts_it(cluster: Cluster) -> None:
    with closing(cluster.server.ec2()) as client:
        client.modify_instance_attribute(InstanceId=cluster.instance, DisableApiStop={"Value": True})
    failure = cluster.failure()
    assert failure.step.endswith(f"--no-disable-api-stop --instance-id {cluster.instance}")
    assert cluster.state() == "running"
    (finding,) = cluster.runner.run(cluster.fence_of().findings())
    assert "protected" in finding.problem
    assert finding.remedy == failure.step


def test_what_would_fail_is_found_in_advance_and_changes_nothing(cluster: Cluster) -> None:
    assert cluster.runner.run(cluster.fence_of(action="reboot").findings()) == []
    (finding,) = cluster.runner.run(cluster.fence_of(instance=INSTANCE).findings())
    assert "NotFound" in finding.problem
    cluster.server.control.set_faults(
        Rule(operation="ec2:StopInstances", fault="error", status=403, code="UnauthorizedOperation")
    )
    (finding,) = cluster.runner.run(cluster.fence_of().findings())
    assert "ec2:StopInstances" in finding.remedy
    assert cluster.state() == "running"


@pytest.mark.parametrize("targets", [{}, {ME: target(OWN)}, {ME: target(OWN), OTHER: target(OWN)}])
def test_this_node_and_unknown_nodes_are_never_a_target(
    runner: asyncio.Runner, targets: dict[NodeId, Ec2Target]
) -> None:
    script = Script([])
    for node in (ME, OTHER):
        with pytest.raises(FenceFailed):
            runner.run(Ec2Fence(ME, targets, script).fence(node))
    assert script.calls == []


# What moto doesn't do: an instance that takes its time, and answers that tell nothing.


class Script:
    """An EC2 whose descriptions go through these states, the last one for ever."""

    def __init__(
        self, states: list[str | AwsError | None], stop: Mapping[int, AwsError] | None = None
    ) -> None:
        self._states, self._stop = states, stop or {}
        self.calls: list[dict[str, Any]] = []

    async def __call__(
        self, operation: str, *, authority: object = None, **parameters: Any
    ) -> dict[str, Any]:
        if operation == "stop_instances":
            self.calls.append(parameters)
            if error := self._stop.get(len(self.calls)):
                raise error
            return {"StoppingInstances": [{"InstanceId": INSTANCE, "CurrentState": {"Name": "stopping"}}]}
        assert operation == "describe_instances", operation
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        if isinstance(state, AwsError):
            raise state
        instance = {"InstanceId": INSTANCE, "State": {"Name": state}}
        return {"Reservations": [{"Instances": [instance]}] if state else []}


def fence(runner: asyncio.Runner, script: Script, **changes: Any) -> str:
    there = target(**{"limit_ms": 20_000} | changes)
    return runner.run(Ec2Fence(ME, {OTHER: there}, script).fence(OTHER))


def test_an_instance_that_takes_its_time_is_waited_for(runner: asyncio.Runner) -> None:
    script = Script(["stopping", BUSY, None, "stopping", "stopped"])
    assert fence(runner, script) == f"{INSTANCE} is stopped"
    assert script.calls == [{"InstanceIds": [INSTANCE], "Force": True, "SkipOsShutdown": True}]


@pytest.mark.parametrize("state", ["stopping", "shutting-down", "running", "pending", None])
def test_no_other_state_and_no_empty_answer_is_evidence(runner: asyncio.Runner, state: str | None) -> None:
    with pytest.raises(FenceUnanswered, match=f"it is {state}" if state else "doesn't tell of it"):
        fence(runner, Script([state]), limit_ms=LIMIT_MS)


def test_another_instances_state_is_no_evidence(runner: asyncio.Runner) -> None:
    async def ec2(operation: str, **parameters: Any) -> dict[str, Any]:
        return {"Reservations": [{"Instances": [{"InstanceId": OWN, "State": {"Name": "stopped"}}]}]}

    with pytest.raises(FenceUnanswered):
        runner.run(Ec2Fence(ME, {OTHER: target()}, ec2).fence(OTHER))


def test_a_stop_is_sent_again_while_the_instance_runs(runner: asyncio.Runner) -> None:
    script = Script(["running", "running", "stopping", "stopped"])
    fence(runner, script)
    assert len(script.calls) == 3


def test_an_instance_that_is_just_starting_is_asked_again(runner: asyncio.Runner) -> None:
    not_yet = answered("ec2", "StopInstances", "IncorrectInstanceState", "it is pending", 400)
    script = Script(["pending", "pending", "stopping", "stopped"], stop={1: not_yet, 2: not_yet})
    assert fence(runner, script) == f"{INSTANCE} is stopped"
    assert [call.get("SkipOsShutdown") for call in script.calls] == [True, True, True]


def test_a_terminated_instance_is_fenced_and_not_started_again(runner: asyncio.Runner) -> None:
    """As AWS answers; moto stops what is terminated."""
    refused = answered("ec2", "StopInstances", "IncorrectInstanceState", "it is terminated", 400)
    script = Script(["terminated"], stop={1: refused})
    assert fence(runner, script, action="reboot") == f"{INSTANCE} is terminated"


def test_where_skipping_the_os_shutdown_is_refused_plain_force_is_used(runner: asyncio.Runner) -> None:
    refused = answered("ec2", "StopInstances", "UnsupportedOperation", "no such thing here", 400)
    script = Script(["stopping", "stopped"], stop={1: refused})
    fence(runner, script)
    assert script.calls[1:] == [{"InstanceIds": [INSTANCE], "Force": True}]


def test_nothing_that_hangs_keeps_it_beyond_its_limit(runner: asyncio.Runner) -> None:
    async def ec2(operation: str, **parameters: Any) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    with pytest.raises(FenceUnanswered, match="nothing was answered"):
        runner.run(Ec2Fence(ME, {OTHER: target()}, ec2).fence(OTHER))
