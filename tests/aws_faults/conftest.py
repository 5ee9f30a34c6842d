"""The kits' own scenes, each under a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recovery_kits import patience
from recovery_kits.route53 import kit as route53
from tests.aws_faults.bench import LIMIT_MS, Bench
from tests.aws_server import AwsServer, World
from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world
from tests.kits.acting import Agent, agent, agents
from tests.kits.attachment.fixtures import zone
from tests.kits.ebs.harness import Disk
from tests.kits.elastic_ip.conftest import scene as elastic_ip_scene
from tests.kits.eni.harness import Card
from tests.kits.private_ip.conftest import scene as private_ip_scene
from tests.kits.route.harness import Node as RouteNode
from tests.kits.route53.harness import Node as RecordNode
from tests.kits.route53.harness import Zone as HostedZone
from tests.kits.target_group.conftest import groups
from tests.kits.target_group.harness import Node as TargetNode
from tests.kits.transit_gateway_route.harness import Gateway
from tests.kits.transit_gateway_route.harness import Node as TransitNode

__all__ = [
    "agent",
    "agents",
    "aws_process",
    "aws_server",
    "elastic_ip_scene",
    "groups",
    "only_loopback",
    "private_ip_scene",
    "world",
    "zone",
]


@pytest.fixture
def read_timeout_ms() -> int:
    """The patience of one call."""
    return LIMIT_MS


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the tries of a call, and between two looks at Route 53."""
    monkeypatch.setattr(patience, "BACKOFF_S", 0.01)
    monkeypatch.setattr(route53, "POLL_S", 0.01)


@pytest.fixture
def bench(request: pytest.FixtureRequest, kind: str, aws_server: AwsServer, agent: Agent) -> Iterator[Bench]:
    """The kit of that kind on the node that is to take over, its resource still elsewhere."""
    made = MAKERS[kind](request, agent)
    aws_server.forget_calls()
    yield Bench(agent, aws_server, made)
    agent.runner.run(agent.until_idle())


def _route(request: pytest.FixtureRequest, agent: Agent) -> Any:
    return RouteNode(agent, _world(request), "db-02").kit()


def _elastic_ip(request: pytest.FixtureRequest, agent: Agent) -> Any:
    return request.getfixturevalue("elastic_ip_scene").kit(agent, "db-02")


def _private_ip(request: pytest.FixtureRequest, agent: Agent) -> Any:
    return request.getfixturevalue("private_ip_scene").kit(agent, "db-03")


def _ebs(request: pytest.FixtureRequest, _agent: Agent) -> Any:
    return Disk(request.getfixturevalue("zone"), _folder(request)).kit("db-03")


def _eni(request: pytest.FixtureRequest, _agent: Agent) -> Any:
    return Card(request.getfixturevalue("zone"), _folder(request)).kit("db-03")


def _route53(request: pytest.FixtureRequest, agent: Agent) -> Any:
    hosted = HostedZone(_server(request))
    request.addfinalizer(hosted.close)
    RecordNode(agent, hosted, "db-01").restore()
    return RecordNode(agent, hosted, "db-02").kit()


def _target_group(request: pytest.FixtureRequest, agent: Agent) -> Any:
    made = request.getfixturevalue("groups")
    TargetNode(agent, _world(request), made, "db-01").restore()
    return TargetNode(agent, _world(request), made, "db-02").kit()


def _transit_gateway_route(request: pytest.FixtureRequest, agent: Agent) -> Any:
    gateway = Gateway(_server(request), _world(request))
    request.addfinalizer(gateway.close)
    TransitNode(agent, gateway, "db-01").restore()
    return TransitNode(agent, gateway, "db-02").kit()


MAKERS: dict[str, Callable[[pytest.FixtureRequest, Agent], Any]] = {
    "ebs": _ebs,
    "elastic-ip": _elastic_ip,
    "eni": _eni,
    "private-ip": _private_ip,
    "route": _route,
    "route53": _route53,
    "target-group": _target_group,
    "transit-gateway-route": _transit_gateway_route,
}


def _world(request: pytest.FixtureRequest) -> World:
    made: World = request.getfixturevalue("world")
    return made


def _server(request: pytest.FixtureRequest) -> AwsServer:
    made: AwsServer = request.getfixturevalue("aws_server")
    return made


def _folder(request: pytest.FixtureRequest) -> Path:
    made: Path = request.getfixturevalue("tmp_path")
    return made
