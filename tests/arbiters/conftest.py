from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.arbiters.benches import Bench, DynamoDbBench, Opened, S3Bench, ScriptedBench
from tests.aws_server import AwsServer
from tests.aws_server.fixtures import aws_process, aws_server, only_loopback

__all__ = ["aws_process", "aws_server", "only_loopback"]


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="session")
def opened(runner: asyncio.Runner) -> Iterator[Opened]:
    """The arbiters that the tests share."""
    opened: Opened = {}
    yield opened
    for arbiter in opened.values():
        arbiter.close()


@pytest.fixture
def dynamodb(opened: Opened, aws_server: AwsServer) -> Iterator[DynamoDbBench]:
    bench = DynamoDbBench(aws_server, opened)
    yield bench
    bench.close()


@pytest.fixture
def s3(opened: Opened, aws_server: AwsServer) -> Iterator[S3Bench]:
    bench = S3Bench(aws_server, opened)
    yield bench
    bench.close()


@pytest.fixture
def scripted() -> ScriptedBench:
    return ScriptedBench()


@pytest.fixture(params=["dynamodb", "s3", "scripted"])
def bench(request: pytest.FixtureRequest) -> Bench:
    """Each place in turn: what holds for one holds for all."""
    made: Bench = request.getfixturevalue(request.param)
    return made
