from __future__ import annotations

from pathlib import Path

import pytest

from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world
from tests.kits.attachment.fixtures import agents, read_timeout_ms, zone
from tests.kits.attachment.harness import Zone
from tests.kits.eni.harness import Card

__all__ = ["agents", "aws_process", "aws_server", "only_loopback", "read_timeout_ms", "world", "zone"]


@pytest.fixture
def card(zone: Zone, tmp_path: Path) -> Card:
    """A free interface in the nodes' zone; each node sees its device, eth2, in a /sys of its own."""
    return Card(zone, tmp_path)
