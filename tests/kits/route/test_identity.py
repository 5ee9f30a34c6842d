"""Which ENI the route kit takes for its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from tests.aws_server import AwsServer, MetadataServer, Profile, World
from tests.kits.acting import Agent
from tests.kits.route.harness import Node, targets


@pytest.fixture
def agent(imds: MetadataServer) -> Iterator[Agent]:
    """A new one: an agent keeps the identity that it read."""
    with closing(Agent()) as agent:
        yield agent


@pytest.fixture
def imds(world: World, monkeypatch: pytest.MonkeyPatch, aws_server: AwsServer) -> MetadataServer:
    """db-02's, whose eth0 is this machine's loopback link."""
    node = world.node("db-02")
    profile = Profile(
        instance_id=node.instance_id,
        availability_zone=node.availability_zone,
        region=world.region,
        interfaces={"00:00:00:00:00:00": node.interfaces[0].id},
    )
    server = aws_server.add_metadata(profile)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url)
    return server


def test_the_interface_is_the_one_behind_the_device(
    db_02: Node, imds: MetadataServer, aws_server: AwsServer, world: World
) -> None:
    db_02.restore(interface=None, device="lo")
    assert targets(aws_server, world) == [db_02.interface] * 2
    assert db_02.check(interface=None, device="lo").health is Health.OK


def test_a_device_that_is_not_there_is_a_failure(db_02: Node, imds: MetadataServer) -> None:
    with pytest.raises(KitError, match="no device eth77") as caught:
        db_02.restore(interface=None, device="eth77")
    assert not isinstance(caught.value, Unanswered)
    assert db_02.check(interface=None, device="eth77").health is Health.FAILED


def test_without_metadata_nobody_can_tell_and_nothing_is_called(
    db_02: Node, imds: MetadataServer, aws_server: AwsServer
) -> None:
    imds.down = True
    for _ in range(2):
        with pytest.raises(Unanswered, match="IMDSv2"):
            db_02.restore(interface=None, device="lo")
        assert db_02.check(interface=None, device="lo").health is Health.UNKNOWN
    assert aws_server.control.journal() == []


def test_an_interface_that_was_attached_after_the_start_is_found(
    db_02: Node, imds: MetadataServer, aws_server: AwsServer, world: World
) -> None:
    attached, imds.profile = (
        imds.profile,
        replace(imds.profile, interfaces={"02:00:00:00:00:99": "eni-other"}),
    )
    assert db_02.check(interface=None, device="lo").health is Health.FAILED  # this is what the agent knows
    imds.profile = attached
    db_02.restore(interface=None, device="lo")
    assert targets(aws_server, world) == [db_02.interface] * 2
