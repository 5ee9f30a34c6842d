from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.aws_server import AwsServer, World
from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world
from tests.kits.route.harness import Agent, Node

__all__ = ["aws_process", "aws_server", "only_loopback", "world"]


@pytest.fixture(scope="session")
def agents() -> Iterator[Callable[[int], Agent]]:
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
def agent(aws_server: AwsServer, agents: Callable[[int], Agent], read_timeout_ms: int) -> Agent:
    """The agent that all nodes of a test act through."""
    return agents(read_timeout_ms)


@pytest.fixture
def db_01(agent: Agent, world: World, tmp_path: Path) -> Node:
    """The node that the routes lead to at first."""
    return Node(agent, world, "db-01", state_dir=tmp_path / "db-01")


@pytest.fixture
def db_02(agent: Agent, world: World, tmp_path: Path) -> Node:
    """The node that is to take over."""
    return Node(agent, world, "db-02", state_dir=tmp_path / "db-02")
