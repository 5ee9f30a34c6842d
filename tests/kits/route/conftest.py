from __future__ import annotations

from pathlib import Path

import pytest

from tests.aws_server import World
from tests.kits.acting import Agent
from tests.kits.route.harness import Node


@pytest.fixture
def db_01(agent: Agent, world: World, tmp_path: Path) -> Node:
    """The node that the routes lead to at first."""
    return Node(agent, world, "db-01", state_dir=tmp_path / "db-01")


@pytest.fixture
def db_02(agent: Agent, world: World, tmp_path: Path) -> Node:
    """The node that is to take over."""
    return Node(agent, world, "db-02", state_dir=tmp_path / "db-02")
