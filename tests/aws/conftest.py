from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.aws_server import REGION, MetadataServer, Profile
from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world

__all__ = ["aws_process", "aws_server", "only_loopback", "world"]

LOOPBACK_MAC = "00:00:00:00:00:00"  # every machine has this link


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def imds(only_loopback: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetadataServer]:
    profile = Profile(
        instance_id="i-0a",
        availability_zone=f"{REGION}a",
        region=REGION,
        interfaces={LOOPBACK_MAC: "eni-0a", "02:00:00:00:00:0b": "eni-0b"},
    )
    with MetadataServer(profile) as server:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
        yield server
