from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.fake_agent import FakeAgent, served


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


@pytest.fixture
def agent(socket_path: Path) -> Iterator[FakeAgent]:
    fake = FakeAgent()
    with served(fake, socket_path):
        yield fake
