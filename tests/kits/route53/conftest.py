from __future__ import annotations

from collections.abc import Iterator

import pytest

from recovery_kits.route53 import kit
from tests.aws_server import AwsServer
from tests.kits.acting import Agent
from tests.kits.route53.harness import Node, Zone


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
