"""Fencing through EC2: an instance is stopped by force, and its state is the evidence.

Invariants:
- evidence is a description of this very instance that says `stopped` or `terminated`, nothing else;
- a call whose answer is lost may have been applied: the instance's state tells;
- `reboot` is a stop with evidence and then a start. EC2's own RebootInstances can't be confirmed: it is
  queued, waits minutes for a guest that hangs, and the instance is `running` before, during and after.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from agent.aws import AwsError, AwsFault
from agent.config.fencing import Ec2Target
from agent.core.ids import NodeId
from agent.fencing.contract import FenceFailed, FenceUnanswered
from recovery_kits.contract import ALWAYS, Ec2, Finding, Permission

HARMLESS = frozenset({"stopped", "terminated"})
POLL_S, POLL_MAX_S = 0.25, 2.0  # DescribeInstances is throttled as the whole account's calls are
NOT_NOW = frozenset({"IncorrectInstanceState", "IncorrectState"})  # pending, shutting down
STEPS = {
    "OperationNotPermitted": "aws ec2 modify-instance-attribute --no-disable-api-stop "
    "--instance-id {instance}",
    "UnsupportedOperation": "only an instance with an EBS root volume can be stopped, and no one-time Spot "
    "instance: fence this node by another means",
}
NOT_FOUND_STEP = (
    "correct the instance id or the region; if it was terminated long ago, confirm by hand that it is gone"
)


@dataclass
class _Progress:
    """What is known of one fencing so far, for the message when its time runs out."""

    accepted: bool = False  # EC2 has taken the stop
    skip_os_shutdown: bool = True
    refusal: AwsError | None = None
    seen: str = "nothing was answered"


class Ec2Fence:
    """Stops the other nodes' instances."""

    def __init__(self, me: NodeId, targets: Mapping[NodeId, Ec2Target], ec2: Ec2) -> None:
        self._me, self._targets, self._ec2 = me, targets, ec2

    @staticmethod
    def permissions(targets: Collection[Ec2Target]) -> tuple[Permission, ...]:
        """Stop these instances, start those that are to be rebooted, and see their state."""

        def arns(action: str) -> tuple[str, ...]:
            instance = "arn:{partition}:ec2:{region}:{account}:instance/"
            return tuple(instance + each.instance for each in targets if action in ("stop", each.action))

        stop = ("ec2:DescribeInstanceAttribute", "ec2:StopInstances")
        needed = (
            Permission(why="Fence", actions=stop, resources=arns("stop")),
            Permission(why="StartFenced", actions=("ec2:StartInstances",), resources=arns("reboot")),
            Permission(why="SeeInstances", actions=("ec2:DescribeInstances",)),
        )
        return tuple(each for each in needed if targets and each.resources)

    async def fence(self, node: NodeId) -> str:
        """Stop the node's instance; see agent.fencing.contract.Fence."""
        target, progress = self._target(node), _Progress()
        try:
            async with asyncio.timeout(target.limit_ms / 1_000):
                state = await self._stop(target.instance, progress)
        except TimeoutError as error:
            limit_s = target.limit_ms / 1_000
            text = f"{target.instance} isn't known to be stopped after {limit_s:g} s: {progress.seen}"
            raise FenceUnanswered(text) from error
        evidence = f"{target.instance} is {state}"
        if target.action == "reboot" and state == "stopped":
            evidence += await self._start(target.instance)
        return evidence

    def _target(self, node: NodeId) -> Ec2Target:
        if node not in self._targets:
            raise FenceFailed(f"no instance is configured for {node}", "configure one")
        target, own = self._targets[node], self._targets.get(self._me)
        if node == self._me or (own is not None and target.instance == own.instance):
            raise FenceFailed(f"{target.instance} is this node's own instance", "correct the instance ids")
        return target

    async def _stop(self, instance: str, progress: _Progress) -> str:
        """Ask until EC2 has taken the stop, and look until the instance is harmless; its state then."""
        pause_s = POLL_S
        while True:
            if not progress.accepted:
                await self._ask(instance, progress)
            state = await self._look(instance, progress)
            if state in HARMLESS:
                return state
            if progress.refusal is not None:
                raise _failure(instance, progress.refusal)
            if state == "running":  # not begun yet, or somebody has started it: asking again is harmless
                progress.accepted = False
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.0))  # nosec B311  # noqa: S311 (jitter)
            pause_s = min(pause_s * 1.5, POLL_MAX_S)

    async def _ask(self, instance: str, progress: _Progress) -> None:
        """Send one StopInstances; a refusal is kept, for the instance may be stopped already."""
        skip: dict[str, Any] = {"SkipOsShutdown": True} if progress.skip_os_shutdown else {}
        try:
            await self._ec2("stop_instances", authority=ALWAYS, InstanceIds=[instance], Force=True, **skip)
        except AwsError as error:
            progress.seen = str(error)
            if error.unanswered or error.code in NOT_NOW:
                return
            if error.kind is AwsFault.REFUSED and progress.skip_os_shutdown:
                progress.skip_os_shutdown = False  # not everywhere; the plain force is the next try
                await self._ask(instance, progress)
                return
            progress.refusal = error
        else:
            progress.accepted = True

    async def _look(self, instance: str, progress: _Progress) -> str | None:
        """The instance's state; None while nobody can tell. Raises FenceFailed when that can't change."""
        try:
            answer = await self._ec2("describe_instances", InstanceIds=[instance])
        except AwsError as error:
            if not error.unanswered:
                raise _failure(instance, progress.refusal or error) from error
            progress.seen = str(error)
            return None
        state = _state(answer, instance)
        progress.seen = f"it is {state}" if state else "DescribeInstances answers, and doesn't tell of it"
        return state

    async def _start(self, instance: str) -> str:
        """Start it again. The node is harmless in any case: a failure is only told."""
        try:
            await self._ec2("start_instances", authority=ALWAYS, InstanceIds=[instance])
        except AwsError as error:
            return f"; starting it again failed: {error}"
        return ", and starts again"

    async def findings(self) -> list[Finding]:
        """Whether each target exists and may be stopped; changes nothing."""
        found: list[Finding] = []
        for node, target in self._targets.items():
            if node != self._me:
                found += await self._trouble(node, target)
        return found

    async def _trouble(self, node: NodeId, target: Ec2Target) -> list[Finding]:
        instance = target.instance
        try:
            if _state(await self._ec2("describe_instances", InstanceIds=[instance]), instance) is None:
                problem = f"DescribeInstances doesn't tell of {instance}"
                return [_finding(node, FenceFailed(problem, NOT_FOUND_STEP))]
            asked = await self._ec2(
                "describe_instance_attribute", InstanceId=instance, Attribute="disableApiStop"
            )
            if asked.get("DisableApiStop", {}).get("Value"):
                step = STEPS["OperationNotPermitted"].format(instance=instance)
                return [_finding(node, FenceFailed(f"{instance} is protected against being stopped", step))]
            await self._dry_run("stop_instances", instance)
            if target.action == "reboot":
                await self._dry_run("start_instances", instance)
        except AwsError as error:
            return [_finding(node, _failure(instance, error), certain=not error.unanswered)]
        return []

    async def _dry_run(self, operation: str, instance: str) -> None:
        """Ask whether it would be permitted; raises AwsError if not."""
        try:
            await self._ec2(operation, authority=ALWAYS, InstanceIds=[instance], DryRun=True)
        except AwsError as error:
            if error.code != "DryRunOperation":
                raise


def _finding(node: NodeId, failure: FenceFailed, *, certain: bool = True) -> Finding:
    return Finding(f"{node}: {failure}", failure.step, certain=certain)


def _state(answer: Mapping[str, Any], instance: str) -> str | None:
    """The state of that instance in an answer of DescribeInstances; None if it isn't told."""
    for reservation in answer.get("Reservations", ()):
        for each in reservation.get("Instances", ()):
            if each.get("InstanceId") == instance:
                state: str | None = each.get("State", {}).get("Name")
                return state
    return None


def _failure(instance: str, error: AwsError) -> FenceFailed:
    """An answer that won't change by itself, with what the operator can do."""
    step = error.step or STEPS.get(error.code, "").format(instance=instance)
    if error.kind is AwsFault.NOT_FOUND:
        step = NOT_FOUND_STEP
    return FenceFailed(f"{instance}: {error.operation}: {error.code}: {error.text}", step)
