"""`validate`, which `kage check` shows: what would keep the arbiter from working is found in advance."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import closing

import pytest

from agent.arbiters.contract import ArbiterRefused, ArbiterUnanswered
from agent.arbiters.opening import limit_s, open_arbiter
from agent.config.arbiter import DynamoDbParameters, S3Parameters
from tests.arbiters.benches import (
    BUCKET,
    CLUSTER,
    TABLE,
    AwsBench,
    Bench,
)
from tests.arbiters.fake import Call, ScriptedArbiter, ScriptedStore, Trouble
from tests.arbiters.records import HIERARCHY, record
from tests.aws_server import REGION, AwsServer

LIST_OBJECTS = f"s3:ListBucket on {BUCKET}: without it S3 hides what isn't there"


def test_an_arbiter_that_works_has_no_findings_and_keeps_its_records(
    runner: asyncio.Runner, bench: Bench
) -> None:
    async def scene() -> None:
        one, other = await bench.arbiter(0), await bench.arbiter(1)
        vote = record()
        version = await one.write(HIERARCHY, vote, None)
        for found in await asyncio.gather(one.validate(), other.validate()):
            assert found == []
        assert await other.validate() == []
        assert await one.read(HIERARCHY) == (vote, version)

    runner.run(scene())


def test_a_place_that_doesnt_keep_conditions_is_found(runner: asyncio.Runner) -> None:
    """Such as an older S3 look-alike: two nodes would both believe they have the vote."""
    [finding] = runner.run(ScriptedArbiter(ScriptedStore(keeps_conditions=False)).validate())
    assert "against the condition" in finding.problem


@pytest.mark.parametrize("call", ["read", "write"])
@pytest.mark.parametrize("trouble", list(Trouble), ids=lambda each: each.name)
def test_each_trouble_is_a_finding_and_nothing_is_raised(
    runner: asyncio.Runner, call: Call, trouble: Trouble
) -> None:
    arbiter = ScriptedArbiter(limit_s=0.05)
    arbiter.store.trouble(call, trouble, None)
    [finding] = runner.run(arbiter.validate())
    assert finding.problem
    assert finding.remedy


@pytest.mark.parametrize(
    ("place", "call", "says"),
    [
        ("dynamodb", "read", f"give the node's role dynamodb:GetItem on the table {TABLE}"),
        ("dynamodb", "write", f"give the node's role dynamodb:PutItem on the table {TABLE}"),
        (
            "s3",
            "read",
            f"give the node's role s3:GetObject on {BUCKET}/kagemusha/*, and {LIST_OBJECTS}",
        ),
        ("s3", "write", f"give the node's role s3:PutObject on {BUCKET}/kagemusha/*"),
    ],
)
def test_the_missing_permission_is_named(
    runner: asyncio.Runner, request: pytest.FixtureRequest, place: str, call: Call, says: str
) -> None:
    async def scene(bench: AwsBench) -> None:
        arbiter = await bench.arbiter()
        bench.trouble(call, Trouble.DENIED, None)
        with pytest.raises(ArbiterRefused, match="AccessDenied") as caught:
            await (arbiter.read(HIERARCHY) if call == "read" else arbiter.write(HIERARCHY, record(), None))
        assert caught.value.step == says
        [finding] = await arbiter.validate()
        assert finding.remedy == says

    runner.run(scene(request.getfixturevalue(place)))


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        (DynamoDbParameters(table="no-such-table"), "create the table no-such-table"),
        (S3Parameters(bucket="no-such-bucket"), "create the bucket no-such-bucket"),
    ],
    ids=["dynamodb", "s3"],
)
def test_a_missing_table_or_bucket_is_named(
    runner: asyncio.Runner, aws_server: AwsServer, parameters: DynamoDbParameters | S3Parameters, says: str
) -> None:
    async def scene() -> None:
        with closing(open_arbiter(parameters, CLUSTER, region=REGION, dead_after_ms=30_000)) as arbiter:
            for attempt in (arbiter.read(HIERARCHY), arbiter.write(HIERARCHY, record(), None)):
                with pytest.raises(ArbiterRefused) as caught:
                    await attempt
                assert says in caught.value.step
            [finding] = await arbiter.validate()
            assert says in finding.remedy

    runner.run(scene())


def test_votes_are_asked_for_in_threads_of_their_own(runner: asyncio.Runner, aws_server: AwsServer) -> None:
    preceding = list[str]()

    async def scene() -> None:
        opened = open_arbiter(
            DynamoDbParameters(table="no-such-table"),
            CLUSTER,
            region=REGION,
            dead_after_ms=30_000,
            precede=lambda: preceding.append(threading.current_thread().name),
        )
        with closing(opened) as arbiter:
            await arbiter.warm_up()
            assert preceding == []  # loading may take its time
            with pytest.raises(ArbiterRefused):
                await arbiter.read(HIERARCHY)

    runner.run(scene())
    assert preceding == ["aws-first_0"]


@pytest.mark.parametrize(
    ("dead_after_ms", "seconds"), [(300, 0.2), (2_000, 2 / 3), (10_000, 10 / 3), (60_000, 5)]
)
def test_a_call_may_take_a_third_of_dead_after_within_bounds(dead_after_ms: int, seconds: float) -> None:
    assert limit_s(dead_after_ms) == pytest.approx(seconds)


def test_a_table_with_another_key_is_named(runner: asyncio.Runner, aws_server: AwsServer) -> None:
    with closing(aws_server.dynamodb()) as client:
        client.create_table(
            TableName="of-another-kind",
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "name", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    parameters = DynamoDbParameters(table="of-another-kind")

    async def scene() -> None:
        with closing(open_arbiter(parameters, CLUSTER, region=REGION, dead_after_ms=30_000)) as arbiter:
            [finding] = await arbiter.validate()
        assert "needs the partition key id" in finding.remedy

    runner.run(scene())


@pytest.mark.parametrize(
    "parameters", [DynamoDbParameters(table=TABLE), S3Parameters(bucket=BUCKET)], ids=["dynamodb", "s3"]
)
def test_nobody_listening_is_unanswered(
    runner: asyncio.Runner,
    aws_server: AwsServer,
    monkeypatch: pytest.MonkeyPatch,
    parameters: DynamoDbParameters | S3Parameters,
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")

    async def scene() -> None:
        with closing(open_arbiter(parameters, CLUSTER, region=REGION, dead_after_ms=30_000)) as arbiter:
            for attempt in (arbiter.read(HIERARCHY), arbiter.write(HIERARCHY, record(), None)):
                with pytest.raises(ArbiterUnanswered):
                    await attempt
            [finding] = await arbiter.validate()
            assert "doesn't answer" in finding.problem

    runner.run(scene())


@pytest.mark.parametrize("place", ["dynamodb", "s3"])
def test_clusters_share_a_place_and_see_nothing_of_each_other(
    runner: asyncio.Runner, request: pytest.FixtureRequest, place: str
) -> None:
    bench: AwsBench = request.getfixturevalue(place)

    async def scene() -> None:
        one, other = (
            open_arbiter(bench.parameters, name, region=REGION, dead_after_ms=30_000)
            for name in (CLUSTER, "reports")
        )
        with closing(one), closing(other):
            await one.warm_up()
            await other.warm_up()
            await one.write(HIERARCHY, record(), None)
            assert await other.read(HIERARCHY) is None

    runner.run(scene())
