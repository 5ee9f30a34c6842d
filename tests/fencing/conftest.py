from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world

__all__ = ["aws_process", "aws_server", "only_loopback", "world"]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner
