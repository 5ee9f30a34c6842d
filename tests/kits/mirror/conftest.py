"""Fixtures of the mirror kit's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.runtime.process import Runner
from tests.kits.mirror.nbd_servers import Place


@pytest.fixture
def place(tmp_path: Path, real_run: Runner) -> Iterator[Place]:
    """Where nbd-servers run."""
    place = Place(tmp_path, real_run)
    try:
        yield place
    finally:
        asyncio.run(place.end())
