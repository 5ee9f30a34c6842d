from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.process import Runner
from recovery_kits.contract import Site, Tools
from recovery_kits.lb_health import LbHealthKit, LbHealthParameters
from recovery_kits.lb_health.processes import end
from tests.kits.fakes import NoAws

MakeKit = Callable[..., LbHealthKit]


@pytest.fixture
def port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@pytest.fixture
def make_kit(tmp_path: Path, port: int, real_run: Runner) -> Iterator[MakeKit]:
    """Kits of one resource, as agents that follow each other have them; no responder outlives the test."""
    tools = Tools(
        tag="lb",
        node="db-01",
        run=real_run,
        aws=NoAws(),  # type: ignore[arg-type]
        site=Site(runtime_dir=tmp_path),
    )

    def make(**changes: Any) -> LbHealthKit:
        wanted: dict[str, Any] = {"port": port, "path": "/health"} | changes
        return LbHealthKit(LbHealthParameters(**wanted), tools)

    yield make
    end(str(tmp_path / "lb-health" / "lb"), 5.0)
