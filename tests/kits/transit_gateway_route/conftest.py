from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.aws_server import AwsServer, World
from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world
from tests.kits.transit_gateway_route.harness import Agent, Gateway, Node

__all__ = ["aws_process", "aws_server", "only_loopback", "world"]


@pytest.fixture(scope="session")
def transit_agents() -> Iterator[Callable[[int], Agent]]:
    """One agent for each read time-out: making an EC2 client takes longer than a test."""
    made: dict[int, Agent] = {}
    yield lambda read_timeout_ms: made.setdefault(read_timeout_ms, Agent(read_timeout_ms))
    for agent in made.values():
        agent.close()


@pytest.fixture
def read_timeout_ms() -> int:
    """How long calls wait; a module may say otherwise."""
    return 2_000


@pytest.fixture
def agent(aws_server: AwsServer, transit_agents: Callable[[int], Agent], read_timeout_ms: int) -> Agent:
    """The agent that all nodes of a test act through."""
    return transit_agents(read_timeout_ms)


@pytest.fixture
def gateway(aws_server: AwsServer, world: World) -> Iterator[Gateway]:
    """A transit gateway with two tables between db-01's VPC and another, where db-02 is to be."""
    made = Gateway(aws_server, world)
    yield made
    made.close()


@pytest.fixture
def db_01(agent: Agent, gateway: Gateway) -> Node:
    """The node in the world's own VPC."""
    return Node(agent, gateway, "db-01")


@pytest.fixture
def db_02(agent: Agent, gateway: Gateway) -> Node:
    """The node in the other VPC."""
    return Node(agent, gateway, "db-02")
