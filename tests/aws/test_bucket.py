"""A limit of our own on calls to AWS, which a fault in one kit mustn't make everybody's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from agent.aws import AwsError, AwsFault, AwsSession
from agent.aws.bucket import Bucket, Rate
from recovery_kits.contract import ALWAYS
from tests.aws_server import REGION, AwsServer, World

SLOW = Rate(burst=3, per_s=0.1)  # the fourth would wait for ten seconds


class Clock:
    def __init__(self) -> None:
        self.at_s = 100.0

    def __call__(self) -> float:
        return self.at_s


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    bucket = Bucket(Rate(burst=2, per_s=4.0), clock := Clock())
    assert [bucket.take(2.0) for _ in range(5)] == [0.0, 0.0, 0.25, 0.5, 0.75]
    clock.at_s += 1.0
    assert bucket.take(2.0) == 0.0


def test_it_fills_up_to_its_burst_and_no_further() -> None:
    bucket = Bucket(Rate(burst=2, per_s=4.0), clock := Clock())
    clock.at_s += 3_600.0
    assert [bucket.take(0.0) for _ in range(3)] == [0.0, 0.0, None]


def test_who_would_wait_too_long_takes_nothing() -> None:
    bucket = Bucket(Rate(burst=1, per_s=1.0), clock := Clock())
    bucket.take(0.0)
    assert [bucket.take(0.5) for _ in range(100)] == [None] * 100
    clock.at_s += 1.0
    assert bucket.take(0.0) == 0.0


@pytest.fixture
def session(aws_server: AwsServer) -> Iterator[AwsSession]:
    with closing(AwsSession(REGION, reads=SLOW)) as session:
        yield session


def test_too_many_reads_are_refused_here_and_changes_go_on(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession, world: World
) -> None:
    async def scene() -> list[object]:
        reads = [session.ec2("describe_route_tables") for _ in range(5)]
        answers: list[object] = await asyncio.gather(*reads, return_exceptions=True)
        await session.ec2(
            "replace_route",
            authority=ALWAYS,
            RouteTableId=world.route_tables[0],
            DestinationCidrBlock=world.destination,
            NetworkInterfaceId=world.node("db-02").interfaces[0].id,
        )
        return answers

    refused = [each for each in runner.run(scene()) if isinstance(each, AwsError)]
    assert [each.kind for each in refused] == [AwsFault.THROTTLED] * 2
    assert "not sent: this agent's own limit is 0.1 reads of ec2 a second" in str(refused[0])
    assert refused[0].passing
    journal = [call.operation for call in aws_server.control.journal()]
    assert journal == ["ec2:DescribeRouteTables"] * 3 + ["ec2:ReplaceRoute"]


def test_each_service_has_its_own_and_a_vote_has_none(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession
) -> None:
    async def scene() -> None:
        for _ in range(3):
            await session.ec2("describe_vpcs")
            await session.call("route53", "list_hosted_zones")
        for _ in range(10):
            await session.call("dynamodb", "list_tables")

    runner.run(scene())
    assert len(aws_server.control.journal("dynamodb:ListTables")) == 10


def test_a_short_wait_is_waited_for(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession
) -> None:
    async def scene(quick: AwsSession) -> None:
        for _ in range(5):
            await quick.ec2("describe_vpcs")

    with closing(AwsSession(REGION, reads=Rate(burst=1, per_s=20.0))) as quick:
        runner.run(scene(quick))
    calls = [call.at_s for call in aws_server.control.journal("ec2:DescribeVpcs")]
    assert len(calls) == 5
    assert calls[-1] - calls[0] >= 3 / 20  # four waits of a twentieth, the clocks' steps allowed for
