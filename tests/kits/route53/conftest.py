from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from recovery_kits.route53 import kit
from tests.aws_server import AwsServer
from tests.aws_server.fixtures import aws_process, aws_server, only_loopback
from tests.kits.route53.harness import Agent, Node, Zone

__all__ = ["aws_process", "aws_server", "only_loopback"]


@pytest.fixture(scope="session")
def dns_agents() -> Iterator[Callable[[int], Agent]]:
    """One agent for each read time-out."""
    made: dict[int, Agent] = {}
    yield lambda read_timeout_ms: made.setdefault(read_timeout_ms, Agent(read_timeout_ms))
    for agent in made.values():
        agent.close()


@pytest.fixture
def read_timeout_ms() -> int:
    """How long calls wait; a module may say otherwise."""
    return 2_000


@pytest.fixture
def agent(aws_server: AwsServer, dns_agents: Callable[[int], Agent], read_timeout_ms: int) -> Agent:
    """The agent that all nodes of a test act through."""
    return dns_agents(read_timeout_ms)


@pytest.fixture
def zone(aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    """example.com, without any record of a cluster; and a kit that asks it at once again."""
    monkeypatch.setattr(kit, "POLL_S", 0.01)
    made = Zone(aws_server)
    yield made
    made.close()


@pytest.fixture
def db_01(agent: Agent, zone: Zone) -> Node:
    """One node."""
    return Node(agent, zone, "db-01")


@pytest.fixture
def db_02(agent: Agent, zone: Zone) -> Node:
    """The other."""
    return Node(agent, zone, "db-02")
