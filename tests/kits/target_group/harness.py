"""A target-group kit on one node of the reference cluster, driven from plain tests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from agent.aws import AwsError, Machine
from recovery_kits.contract import ALWAYS, Authority, Check, Finding, Tools
from recovery_kits.target_group import TargetGroupKit, TargetGroupParameters
from tests.aws_server import AwsServer, World
from tests.kits.acting import Agent, no_command

PORT = 443
ELB = "elasticloadbalancing"


class Placed:
    """The agent's AWS as one node has it: with an identity of its own, or none."""

    def __init__(self, agent: Agent, machine: Machine | AwsError) -> None:
        self.machine, self.ec2, self.call = machine, agent.aws.ec2, agent.aws.call
        self.refresh_identity = self.identity

    async def identity(self) -> Machine:
        """What IMDS says."""
        if isinstance(self.machine, AwsError):
            raise self.machine
        return self.machine


class Node:
    """`name` in the reference cluster, which acts through `agent`."""

    def __init__(
        self, agent: Agent, world: World, groups: Sequence[str], name: str, authority: Authority = ALWAYS
    ) -> None:
        self.agent, self.groups = agent, tuple(groups)
        self.instances = tuple(node.instance_id for node in world.nodes)
        node = world.node(name)
        self.instance = node.instance_id
        machine = Machine(
            instance_id=node.instance_id,
            region=world.region,
            availability_zone=node.availability_zone,
            interfaces={},
        )
        self.aws, self.lines = Placed(agent, machine), list[str]()
        self._tools = Tools("targets", name, no_command, self.aws, authority, log=self.lines.append)

    def kit(self, **changes: Any) -> TargetGroupKit:
        """A kit for all groups and instances, unless told otherwise."""
        usual: dict[str, Any] = {"target_groups": self.groups, "port": PORT, "instances": self.instances}
        return TargetGroupKit(TargetGroupParameters(**(usual | changes)), self._tools)

    def restore(self, **changes: Any) -> None:
        """Run the action to its end."""
        self.agent.runner.run(self.kit(**changes).restore())

    def remove(self, **changes: Any) -> None:
        """Run the action to its end."""
        self.agent.runner.run(self.kit(**changes).remove())

    def recover(self, **changes: Any) -> None:
        """Run the action to its end."""
        self.agent.runner.run(self.kit(**changes).recover())

    def reassert(self, **changes: Any) -> None:
        """Run the action to its end."""
        self.agent.runner.run(self.kit(**changes).reassert())

    def check(self, **changes: Any) -> Check:
        """The answer of quick_check."""
        return self.agent.runner.run(self.kit(**changes).quick_check())

    def validate(self, **changes: Any) -> Sequence[Finding]:
        """What validate finds."""
        return self.agent.runner.run(self.kit(**changes).validate())


def registered(server: AwsServer, groups: Sequence[str]) -> list[list[str]]:
    """The targets of each group."""
    with closing(server.elbv2()) as client:
        answers = [client.describe_target_health(TargetGroupArn=group) for group in groups]
    return [[each["Target"]["Id"] for each in answer["TargetHealthDescriptions"]] for answer in answers]


def register(server: AwsServer, group: str, target: str, port: int = PORT) -> None:
    """As somebody else would."""
    with closing(server.elbv2()) as client:
        client.register_targets(TargetGroupArn=group, Targets=[{"Id": target, "Port": port}])
