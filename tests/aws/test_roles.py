"""Calls as another role: its credentials, kept apart from the node's own, and named where they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest

from agent.aws import AwsError, AwsFault, AwsSession
from tests.aws_server import REGION, AwsServer, Rule
from tests.aws_server.fixtures import KEY

NETWORK = "arn:aws:iam::123456789012:role/network"
DNS = "arn:aws:iam::210987654321:role/dns"


@pytest.fixture
def session(aws_server: AwsServer) -> Iterator[AwsSession]:
    with closing(AwsSession(REGION, name="demo cluster/db-01")) as session:
        yield session


def look(runner: asyncio.Runner, session: AwsSession, role: str | None) -> None:
    runner.run(session.ec2("describe_route_tables", role=role))


def failure(runner: asyncio.Runner, session: AwsSession) -> AwsError:
    with pytest.raises(AwsError) as caught:
        look(runner, session, NETWORK)
    return caught.value


def test_a_role_is_assumed_once_with_the_nodes_credentials_and_called_as_with_its_own(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession
) -> None:
    for role in (NETWORK, NETWORK, None, DNS):
        look(runner, session, role)
    calls = aws_server.control.journal()
    assert [call.operation for call in calls if call.key == KEY] == [
        "sts:AssumeRole",
        "ec2:DescribeRouteTables",
        "sts:AssumeRole",
    ]
    assert [call.operation for call in calls if call.key != KEY] == ["ec2:DescribeRouteTables"] * 3
    assert len({call.key for call in calls}) == 3


def test_cloudtrail_is_told_who_called(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession
) -> None:
    who = runner.run(session.call("sts", "get_caller_identity", role=NETWORK))
    assert who["Arn"] == "arn:aws:sts::123456789012:assumed-role/network/demo-cluster-db-01"


def test_a_role_that_may_not_be_assumed_is_named_with_what_mends_it(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession
) -> None:
    aws_server.control.set_faults(
        Rule(operation="sts:*", fault="error", status=403, code="AccessDenied", left=1)
    )
    error = failure(runner, session)
    assert (error.kind, error.operation, error.role) == (AwsFault.AUTH, "AssumeRole", NETWORK)
    assert f"AssumeRole as {NETWORK}: AccessDenied" in str(error)
    assert "sts:AssumeRole on that role" in error.step
    look(runner, session, NETWORK)  # given the right since


def test_what_a_role_may_not_do_is_asked_of_that_role(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession
) -> None:
    aws_server.control.set_faults(
        Rule(operation="ec2:*", fault="error", status=403, code="UnauthorizedOperation")
    )
    error = failure(runner, session)
    assert error.step == f"give {NETWORK} ec2:DescribeRouteTables"
    assert f"DescribeRouteTables as {NETWORK}: " in str(error)


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (Rule(operation="sts:*", fault="error", status=503, code="Throttling"), AwsFault.THROTTLED),
        (Rule(operation="sts:*", fault="error", status=500, code="InternalFailure"), AwsFault.SERVER),
        (Rule(operation="sts:*", fault="drop-before"), AwsFault.NETWORK),
    ],
)
def test_without_sts_nobody_can_tell(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession, rule: Rule, kind: AwsFault
) -> None:
    aws_server.control.set_faults(rule)
    error = failure(runner, session)
    assert (error.kind, error.role, error.passing) == (kind, NETWORK, True)
