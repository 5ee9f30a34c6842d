"""Fixtures of the kits ebs and eni; a folder's conftest.py imports those it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from recovery_kits import attachment, patience
from tests.aws_server import AwsServer, World
from tests.kits.attachment.harness import Agent, Zone, make_zone


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
def zone(
    aws_server: AwsServer,
    world: World,
    agents: Callable[[int], Agent],
    read_timeout_ms: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Zone:
    """Two nodes and a stranger in one zone; moves don't pause for long."""
    monkeypatch.setattr(attachment, "PAUSE_S", 0.01)
    monkeypatch.setattr(attachment, "DEVICE_GRACE_S", 0.1)
    monkeypatch.setattr(patience, "BACKOFF_S", 0.01)
    return make_zone(aws_server, world, agents(read_timeout_ms))
