"""DynamoDB and S3 through the session: the same bounds, and errors told apart in the same way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from agent.aws import AwsError, AwsFault, AwsSession
from agent.aws.client import LONGEST_BODY, Client
from agent.aws.credentials import Kept
from agent.aws.setup import Limits
from recovery_kits.contract import Service
from tests.aws_server import REGION, AwsServer, Rule

BUCKET, KEY = "example", "a"
READ: dict[Service, dict[str, Any]] = {
    "dynamodb": {"operation": "get_item", "TableName": "votes", "Key": {"id": {"S": "a"}}},
    "s3": {"operation": "get_object", "Bucket": BUCKET, "Key": KEY},
}


@pytest.fixture
def session(runner: asyncio.Runner, aws_server: AwsServer) -> Iterator[AwsSession]:
    with closing(AwsSession(REGION)) as session:
        for service in READ:
            runner.run(session.load(service))
        yield session


def failure(runner: asyncio.Runner, session: AwsSession, service: Service) -> AwsError:
    with pytest.raises(AwsError) as caught:
        runner.run(session.call(service, **READ[service]))
    return caught.value


@pytest.mark.parametrize("service", ["dynamodb", "s3"])
def test_nothing_is_retried(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession, service: Service
) -> None:
    aws_server.control.set_faults(Rule(fault="error", status=500, code="InternalServerError"))
    assert failure(runner, session, service).kind is AwsFault.SERVER
    assert len(aws_server.control.journal()) == 1


@pytest.mark.parametrize(
    ("service", "status", "code", "kind"),
    [
        ("dynamodb", 400, "ProvisionedThroughputExceededException", AwsFault.THROTTLED),
        ("dynamodb", 400, "ThrottlingException", AwsFault.THROTTLED),
        ("dynamodb", 400, "AccessDeniedException", AwsFault.AUTH),
        ("dynamodb", 400, "UnrecognizedClientException", AwsFault.AUTH),
        ("dynamodb", 400, "InvalidSignatureException", AwsFault.AUTH),
        ("dynamodb", 400, "ResourceNotFoundException", AwsFault.NOT_FOUND),
        ("dynamodb", 400, "ReplicatedWriteConflictException", AwsFault.SERVER),
        ("dynamodb", 400, "ConditionalCheckFailedException", AwsFault.REFUSED),
        ("s3", 503, "SlowDown", AwsFault.THROTTLED),
        ("s3", 403, "AccessDenied", AwsFault.AUTH),
        ("s3", 403, "InvalidAccessKeyId", AwsFault.AUTH),
        ("s3", 403, "RequestTimeTooSkewed", AwsFault.AUTH),
        ("s3", 404, "NoSuchKey", AwsFault.NOT_FOUND),
        ("s3", 404, "NoSuchBucket", AwsFault.NOT_FOUND),
        ("s3", 409, "ConditionalRequestConflict", AwsFault.SERVER),
        ("s3", 400, "RequestTimeout", AwsFault.SERVER),
        ("s3", 412, "PreconditionFailed", AwsFault.REFUSED),
    ],
)
def test_each_answer_is_told_by_its_kind(
    runner: asyncio.Runner,
    aws_server: AwsServer,
    session: AwsSession,
    service: Service,
    status: int,
    code: str,
    kind: AwsFault,
) -> None:
    aws_server.control.set_faults(Rule(fault="error", status=status, code=code))
    error = failure(runner, session, service)
    assert (error.kind, error.code) == (kind, code)


@pytest.mark.parametrize("length", [0, 5, LONGEST_BODY, LONGEST_BODY + 1])
def test_a_body_comes_as_bytes_of_a_bounded_length(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession, length: int
) -> None:
    with closing(aws_server.s3()) as client:
        client.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
        )
        client.put_object(Bucket=BUCKET, Key=KEY, Body=b"x" * length)
    for _ in range(2):  # the connection is fit for another call
        answer = runner.run(session.call("s3", **READ["s3"]))
        assert answer["Body"] == b"x" * min(length, LONGEST_BODY)


def test_a_client_whose_loading_outlasted_its_caller_is_kept_for_the_next(
    runner: asyncio.Runner, aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an arbiter whose calls have less time than a stressed machine's loading would never answer."""
    loads = list[str]()
    begin = Client.__init__

    def slowly(self: Client, service: str, region: str, credentials: Kept, limits: Limits) -> None:
        loads.append(service)
        time.sleep(0.2)
        begin(self, service, region, credentials, limits)

    monkeypatch.setattr(Client, "__init__", slowly)

    async def scene(session: AwsSession) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(session.load("dynamodb"), 0.05)
        async with asyncio.timeout(20):
            while session.under_way:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.01)
        await session.load("dynamodb")

    with closing(AwsSession(REGION)) as session:
        runner.run(scene(session))
    assert loads == ["dynamodb"]
