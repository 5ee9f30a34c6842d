"""Fixtures of the local kits' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.runtime.process import Runner
from recovery_kits import patience
from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world
from tests.kits.acting import agent, agents, hasty, read_timeout_ms
from tests.kits.fakes import Table

__all__ = [
    "agent",
    "agents",
    "aws_process",
    "aws_server",
    "hasty",
    "only_loopback",
    "read_timeout_ms",
    "world",
]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kits call AWS again as often as usual, almost at once."""
    monkeypatch.setattr(patience, "BACKOFF_S", 0.01)


@pytest.fixture
def table() -> Table:
    """A scripted `run`."""
    return Table()


@pytest.fixture
def real_run(tmp_path: Path) -> Runner:
    """The agent's own `run`, losing patience soon."""
    return Runner(tmp_path / "output", grace_ms=200, abandon_ms=500)
