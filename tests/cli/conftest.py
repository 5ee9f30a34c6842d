from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.cli.main import main
from tests.api.fake_agent import FakeAgent, served

Kage = Callable[..., int]  # kage("status", "--json"): the exit code


@pytest.fixture(autouse=True)
def _utc_and_nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("KAGE_SOCKET", "KAGE_CONFIG", "NO_COLOR", "COLUMNS", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("TERM", "xterm")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


@pytest.fixture
def agent(socket_path: Path) -> Iterator[FakeAgent]:
    fake = FakeAgent()
    with served(fake, socket_path):
        yield fake


@pytest.fixture
def kage(socket_path: Path) -> Kage:
    def run(*argv: str) -> int:
        return main([*argv, "--socket", str(socket_path)])

    return run
