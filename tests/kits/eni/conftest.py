from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.attachment.fixtures import zone
from tests.kits.attachment.harness import Zone
from tests.kits.eni.harness import Card

__all__ = ["zone"]


@pytest.fixture
def card(zone: Zone, tmp_path: Path) -> Card:
    """A free interface in the nodes' zone; each node sees its device, eth2, in a /sys of its own."""
    return Card(zone, tmp_path)
