from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.aws_server import AwsServer, World
from tests.kits.acting import Agent
from tests.kits.transit_gateway_route.harness import Gateway, Node


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
