from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.attachment.fixtures import zone
from tests.kits.attachment.harness import Zone
from tests.kits.ebs.harness import Disk

__all__ = ["zone"]


@pytest.fixture
def disk(zone: Zone, tmp_path: Path) -> Disk:
    """A free volume in the nodes' zone; each node sees its device in a /dev of its own."""
    return Disk(zone, tmp_path)
