"""The IMDS of the test server is as strict as the real one with version 2 required."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.aws_server import AwsServer, MetadataServer, Profile, World

PROFILE = Profile(
    instance_id="i-1",
    availability_zone="ap-northeast-1a",
    region="ap-northeast-1",
    interfaces={"02:00:00:00:00:01": "eni-1", "02:00:00:00:00:02": "eni-2"},
    credentials={"AccessKeyId": "AKIA1"},
)


@pytest.fixture
def imds() -> Iterator[MetadataServer]:
    with MetadataServer(PROFILE) as server:
        yield server


def ask(imds: MetadataServer, path: str, method: str = "GET", **headers: str) -> str:
    named = {f"X-aws-ec2-metadata-{name.replace('_', '-')}": value for name, value in headers.items()}
    with urlopen(Request(f"{imds.url}{path}", method=method, headers=named), timeout=5) as answer:
        return str(answer.read().decode())


def status(imds: MetadataServer, path: str, method: str = "GET", **headers: str) -> int:
    with pytest.raises(HTTPError) as refusal:
        ask(imds, path, method, **headers)
    with closing(refusal.value) as answer:
        return answer.code


def test_nothing_is_told_without_a_token(imds: MetadataServer) -> None:
    assert status(imds, "/latest/meta-data/instance-id") == 401
    assert status(imds, "/latest/meta-data/instance-id", token="made up") == 401


@pytest.mark.parametrize("ttl", ["", "0", "21601", "soon"])
def test_a_token_is_given_for_up_to_six_hours(imds: MetadataServer, ttl: str) -> None:
    assert status(imds, "/latest/api/token", "PUT", token_ttl_seconds=ttl) == 400


def test_identity_interfaces_and_credentials_are_told(imds: MetadataServer) -> None:
    token = ask(imds, "/latest/api/token", "PUT", token_ttl_seconds="60")
    macs = ask(imds, "/latest/meta-data/network/interfaces/macs/", token=token).split()
    assert macs == ["02:00:00:00:00:01/", "02:00:00:00:00:02/"]
    last = f"/latest/meta-data/network/interfaces/macs/{macs[1]}interface-id"
    assert ask(imds, last, token=token) == "eni-2"
    role = ask(imds, "/latest/meta-data/iam/security-credentials/", token=token)
    credentials = ask(imds, f"/latest/meta-data/iam/security-credentials/{role}", token=token)
    assert "AKIA1" in credentials
    assert status(imds, "/latest/meta-data/spot", token=token) == 404


def test_one_nodes_metadata_goes_down_and_comes_back(aws_server: AwsServer, world: World) -> None:
    first, second = (aws_server.add_metadata(world.profile(name)) for name in ("db-01", "db-02"))
    aws_server.control.metadata_down(first.profile.instance_id, down=True)
    assert status(first, "/latest/api/token", "PUT", token_ttl_seconds="60") == 503
    assert ask(second, "/latest/api/token", "PUT", token_ttl_seconds="60")
    aws_server.control.metadata_down(first.profile.instance_id, down=False)
    assert ask(first, "/latest/api/token", "PUT", token_ttl_seconds="60")
