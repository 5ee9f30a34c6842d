"""Fixtures over the test server; a folder's conftest.py imports those it uses.

Every one of them keeps the test on this machine: connections beyond loopback are refused.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.aws_server import AwsServer, World, reference_world

KEY = "AKIANODE"


@pytest.fixture(scope="session")
def aws_process() -> Iterator[AwsServer]:
    """One server for the whole run; use `aws_server`, which starts it afresh for each test."""
    with AwsServer() as server:
        yield server


@pytest.fixture
def aws_server(
    aws_process: AwsServer, only_loopback: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AwsServer:
    """An empty AWS, which the environment makes every client use."""
    aws_process.control.reset()
    for name in (
        "AWS_PROFILE",
        "AWS_SESSION_TOKEN",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_ENDPOINT_URL_EC2",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws_process.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    return aws_process


@pytest.fixture
def world(aws_server: AwsServer) -> World:
    """The reference cluster, its calls gone from the journal."""
    with closing(aws_server.ec2()) as client:
        made = reference_world(client)
    aws_server.forget_calls()
    return made


@pytest.fixture
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it impossible to connect to anything but this machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        assert self.family == socket.AF_UNIX or ip_address(address[0]).is_loopback, (
            f"left loopback: {address}"
        )
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
