"""Fixtures of the kits ebs and eni; a folder's conftest.py imports those it uses."""

from __future__ import annotations

import pytest

from recovery_kits import attachment, patience
from tests.aws_server import AwsServer, World
from tests.kits.acting import Agent
from tests.kits.attachment.harness import Zone, make_zone


@pytest.fixture
def zone(
    aws_server: AwsServer,
    world: World,
    agent: Agent,
    monkeypatch: pytest.MonkeyPatch,
) -> Zone:
    """Two nodes and a stranger in one zone; moves don't pause for long."""
    monkeypatch.setattr(attachment, "PAUSE_S", 0.01)
    monkeypatch.setattr(attachment, "DEVICE_GRACE_S", 0.1)
    monkeypatch.setattr(patience, "BACKOFF_S", 0.01)
    return make_zone(aws_server, world, agent)
