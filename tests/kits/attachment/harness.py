"""Nodes of one zone, as the kits ebs and eni want them, on the test's AWS."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from agent.aws import AwsError, AwsSession, Machine
from recovery_kits.contract import ALWAYS, Authority, Run, Site, Tools
from tests.aws_server import REGION, AwsServer, World
from tests.aws_server.fixtures import KEY
from tests.aws_server.world import IMAGE
from tests.kits.acting import Agent

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

T = TypeVar("T")
ADDRESSES = {"db-01": "10.0.3.4", "db-03": "10.0.3.5"}  # the nodes, both in zone a
STRANGER = "10.0.3.99"  # a machine of the same subnet that is no node


@dataclass
class NodeAws:
    """The session of one node: several in a process can't all ask one IMDS who they are."""

    session: AwsSession
    machine: Machine
    away: AwsError | None = None  # what IMDS fails by

    @property
    def ec2(self) -> Callable[..., Coroutine[Any, Any, dict[str, Any]]]:
        """The session's."""
        return self.session.ec2

    async def identity(self) -> Machine:
        """This node's."""
        if self.away:
            raise self.away
        return self.machine


@dataclass
class Zone:
    """db-01, db-03 and a stranger, in zone a of the reference cluster."""

    server: AwsServer
    world: World
    agent: Agent
    instances: dict[str, str]  # name -> id
    logged: list[str] = field(default_factory=list)

    def tools(self, node: str, run: Run, authority: Authority = ALWAYS, zone: str = "a") -> Tools:
        """What a kit on `node` gets."""
        machine = Machine(
            instance_id=self.instances[node],
            region=REGION,
            availability_zone=f"{REGION}{zone}",
            interfaces={},
        )
        aws: Any = NodeAws(self.agent.aws, machine)
        site = Site(nodes={name: (address,) for name, address in ADDRESSES.items()})
        log = self.logged.append
        return Tools(tag="res", node=node, run=run, aws=aws, authority=authority, site=site, log=log)

    @contextmanager
    def scene(self) -> Iterator[EC2Client]:
        """A client to set the scene with, or to look at it; from here on AWS works again."""
        self.server.control.set_faults()
        with closing(self.server.ec2()) as client:
            yield client

    @contextmanager
    def told(self, operation: str, answer: dict[str, Any]) -> Iterator[None]:
        """The kits get this answer to the operation: of what moto can't be made to say."""
        ask = self.agent.aws.ec2

        async def tell(asked: str, **parameters: Any) -> dict[str, Any]:
            return answer if asked == operation else await ask(asked, **parameters)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.agent.aws, "ec2", tell)
            yield

    @contextmanager
    def heard(self) -> Iterator[list[dict[str, Any]]]:
        """What the kits ask of EC2 beside descriptions, with all that they say."""
        ask, heard = self.agent.aws.ec2, list[dict[str, Any]]()

        async def listen(asked: str, **parameters: Any) -> dict[str, Any]:
            if not asked.startswith("describe_"):
                heard.append({"operation": asked} | parameters)
            return await ask(asked, **parameters)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.agent.aws, "ec2", listen)
            yield heard

    def stop(self, node: str) -> None:
        """Stop its instance."""
        with self.scene() as client:
            client.stop_instances(InstanceIds=[self.instances[node]])

    def operations(self) -> list[str]:
        """What the kits called, in order."""
        calls = self.server.control.journal()
        return [call.operation.removeprefix("ec2:") for call in calls if call.key == KEY]

    def changes(self) -> list[str]:
        """The same without what changes nothing."""
        return [each for each in self.operations() if not each.startswith("Describe")]


def make_zone(server: AwsServer, world: World, agent: Agent) -> Zone:
    """The reference cluster, and two more instances beside its db-01."""
    zone = Zone(server, world, agent, {"db-01": world.node("db-01").instance_id})
    with zone.scene() as client:
        for name, address in (("db-03", ADDRESSES["db-03"]), ("stranger", STRANGER)):
            zone.instances[name] = client.run_instances(
                ImageId=IMAGE,
                InstanceType="t3.medium",
                MinCount=1,
                MaxCount=1,
                SubnetId=world.subnets["db-01-0"],
                PrivateIpAddress=address,
            )["Instances"][0]["InstanceId"]
    return zone
