"""The agent's AWS session: bounded in time and threads, each failure told by its kind."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace

import pytest

from agent.aws import AwsError, AwsFault, AwsSession
from agent.aws.client import Client
from agent.aws.session import THREADS, Caller
from recovery_kits.contract import ALWAYS, Aws, Identity
from tests.aws_server import REGION, AwsServer, MetadataServer, Rule, World
from tests.aws_server.fixtures import KEY

IMDS_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


@pytest.fixture
def session(aws_server: AwsServer) -> Iterator[AwsSession]:
    with closing(AwsSession(REGION)) as session:
        yield session


@pytest.fixture
def impatient(aws_server: AwsServer) -> Iterator[AwsSession]:
    """Yet more patient than this process's garbage collector is slow: 0.4 s were seen."""
    with closing(AwsSession(REGION, connect_timeout_ms=300, read_timeout_ms=1_000)) as session:
        yield session


def failure(
    runner: asyncio.Runner, session: AwsSession, operation: str = "describe_route_tables"
) -> AwsError:
    with pytest.raises(AwsError) as caught:
        runner.run(session.ec2(operation))
    return caught.value


def test_it_is_what_kits_expect(runner: asyncio.Runner, imds: MetadataServer, session: AwsSession) -> None:
    aws: Aws = session
    identity: Identity = runner.run(aws.identity())
    assert (identity.instance_id, identity.region) == ("i-0a", REGION)


def test_a_cluster_without_aws_never_loads_botocore() -> None:
    """It costs 25 MB and a fifth of a second."""
    code = "import sys, agent.aws, recovery_kits.route; sys.exit('botocore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_client_that_takes_long_to_make_is_made_once_however_many_give_up(
    runner: asyncio.Runner, session: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow machine each caller used to begin anew, until all threads did the same."""
    load, may_end, made = session._load, threading.Event(), list[Caller]()

    def slow(caller: Caller, region: str) -> Client:
        made.append(caller)
        assert may_end.wait(30)
        return load(caller, region)

    monkeypatch.setattr(session, "_load", slow)

    async def many() -> None:
        for _ in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await session.load("dynamodb")
        may_end.set()
        assert await session.load("dynamodb") is await session.load("dynamodb")

    runner.run(many())
    assert made == [("dynamodb", None)]


def test_calls_go_to_the_test_server(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession
) -> None:
    runner.run(session.ec2("describe_route_tables"))
    assert session.endpoint == aws_server.url
    assert [(call.key, call.operation) for call in aws_server.control.journal()] == [
        (KEY, "ec2:DescribeRouteTables")
    ]


def test_an_outside_address_is_refused_by_the_fixtures(only_loopback: None) -> None:
    with closing(socket.socket()) as outside, pytest.raises(AssertionError, match="left loopback"):
        outside.connect(("192.0.2.1", 80))


@pytest.mark.parametrize(
    ("rule", "kind", "unanswered", "says"),
    [
        (Rule(fault="error"), AwsFault.THROTTLED, True, "RequestLimitExceeded"),
        (Rule(fault="error", status=400, code="Throttling"), AwsFault.THROTTLED, True, "Throttling"),
        (Rule(fault="error", status=500, code="InternalError"), AwsFault.SERVER, True, "InternalError"),
        (Rule(fault="error", status=502, code="Whatever"), AwsFault.SERVER, True, "Whatever"),
        (Rule(fault="drop-before"), AwsFault.NETWORK, True, "ConnectionClosed"),
        (Rule(fault="hang"), AwsFault.NETWORK, True, "ReadTimeout"),
        (
            Rule(fault="error", status=403, code="UnauthorizedOperation"),
            AwsFault.AUTH,
            False,
            "role ec2:DescribeRouteTables",
        ),
        (Rule(fault="error", status=400, code="ExpiredToken"), AwsFault.AUTH, False, "instance profile"),
        (
            Rule(fault="error", status=400, code="InvalidVpcID.NotFound"),
            AwsFault.NOT_FOUND,
            False,
            "NotFound",
        ),
        (Rule(fault="error", status=400, code="InvalidParameterValue"), AwsFault.REFUSED, False, "Invalid"),
    ],
    ids=lambda value: f"{value.fault}-{value.code}" if isinstance(value, Rule) else "",
)
def test_each_failure_is_told_by_its_kind(
    runner: asyncio.Runner,
    aws_server: AwsServer,
    impatient: AwsSession,
    rule: Rule,
    kind: AwsFault,
    unanswered: bool,
    says: str,
) -> None:
    aws_server.control.set_faults(rule)
    error = failure(runner, impatient)
    assert (error.kind, error.unanswered) == (kind, unanswered)
    assert error.operation == "DescribeRouteTables"
    assert says in str(error)


def test_nothing_is_retried_behind_the_callers_back(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession
) -> None:
    aws_server.control.set_faults(Rule(fault="error"))
    failure(runner, session)
    assert len(aws_server.control.journal()) == 1


def test_a_failure_that_no_one_can_parse_is_the_servers(runner: asyncio.Runner, session: AwsSession) -> None:
    """moto answers what it doesn't implement with a page of HTML, as a broken proxy would."""
    error = failure(runner, session, "describe_route_servers")
    assert (error.kind, error.unanswered) == (AwsFault.SERVER, True)


def test_wrong_parameters_are_refused_before_anything_is_sent(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession
) -> None:
    with pytest.raises(AwsError, match="ParamValidationError") as caught:
        runner.run(session.ec2("replace_route", authority=ALWAYS, RouteTableId=7))
    assert caught.value.kind is AwsFault.REFUSED
    assert aws_server.control.journal() == []


def test_nobody_listening_is_no_answer(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    assert failure(runner, session).kind is AwsFault.NETWORK


def test_without_credentials_the_operator_is_told_and_later_ones_are_taken(
    runner: asyncio.Runner,
    aws_server: AwsServer,
    session: AwsSession,
    imds: MetadataServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    error = failure(runner, session)
    assert (error.kind, error.code) == (AwsFault.AUTH, "NoCredentialsError")
    assert "instance profile" in str(error)
    imds.profile = replace(
        imds.profile,
        credentials={
            "Code": "Success",
            "Type": "AWS-HMAC",
            "AccessKeyId": "ASIAROLE",
            "SecretAccessKey": "secret",
            "Token": "token",
            "Expiration": "2099-01-01T00:00:00Z",
        },
    )
    runner.run(session.ec2("describe_vpcs"))
    assert [call.key for call in aws_server.control.journal("ec2:DescribeVpcs")] == ["ASIAROLE"]


def test_the_region_is_the_instances_unless_configured(
    runner: asyncio.Runner, aws_server: AwsServer, imds: MetadataServer, world: World
) -> None:
    with closing(AwsSession()) as session:
        runner.run(session.warm_up())
        answer = runner.run(session.ec2("describe_route_tables", RouteTableIds=list(world.route_tables)))
    assert len(answer["RouteTables"]) == 2


def test_warming_up_leaves_nothing_to_load_for_these_services(
    runner: asyncio.Runner, aws_server: AwsServer, imds: MetadataServer, session: AwsSession
) -> None:
    runner.run(session.warm_up(("elbv2", "route53")))
    assert set(session._clients) == {("elbv2", None), ("route53", None)}
    assert aws_server.control.journal() == []


def test_identity_is_read_once_and_again_when_told(
    runner: asyncio.Runner, imds: MetadataServer, session: AwsSession
) -> None:
    first = runner.run(session.identity())
    asked = imds.requests
    assert first.interface("lo") == "eni-0a"
    assert runner.run(session.identity()) is first
    assert imds.requests == asked
    imds.down = True
    with pytest.raises(AwsError, match="IMDSv2"):
        runner.run(session.refresh_identity())
    assert runner.run(session.identity()) is first
    imds.down = False
    assert runner.run(session.refresh_identity()) == first
    assert imds.requests > asked


def test_a_device_that_is_no_eni_is_not_found(
    runner: asyncio.Runner, imds: MetadataServer, session: AwsSession
) -> None:
    machine = runner.run(session.identity())
    with pytest.raises(AwsError, match="no device eth77") as caught:
        machine.interface("eth77")
    assert caught.value.kind is AwsFault.NOT_FOUND
    imds.profile = replace(imds.profile, interfaces={"02:00:00:00:00:0b": "eni-0b"})
    with pytest.raises(AwsError, match="none of the ENIs attached to i-0a"):
        runner.run(session.refresh_identity()).interface("lo")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\xff\n\r\n"])
def test_a_strange_metadata_service_is_no_answer(
    runner: asyncio.Runner, session: AwsSession, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    with Dripping(answer, every_s=0.0) as server:
        monkeypatch.setenv(IMDS_VARIABLE, server.url)
        with pytest.raises(AwsError) as caught:
            runner.run(session.identity())
    assert caught.value.unanswered


class Dripping:
    """A server that answers each connection with `answer`, a byte at a time, and ends with `with`."""

    def __init__(self, answer: bytes, every_s: float) -> None:
        self._answer, self._every_s, self._stop = answer, every_s, threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads = [threading.Thread(target=self._accept)]
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Dripping:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # shut down
            while True:
                connection, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._drip, args=(connection,)))
                self._threads[-1].start()

    def _drip(self, connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            connection.recv(65_536)
            for byte in self._answer:
                if self._stop.wait(self._every_s):
                    return
                connection.send(bytes([byte]))


async def until_under_way(session: AwsSession, calls: int) -> None:
    async with asyncio.timeout(10):
        while session.under_way != calls:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)


def test_a_call_ends_in_time_though_its_thread_hangs_and_no_more_threads_than_there_are_do(
    runner: asyncio.Runner, impatient: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte of the reply restarts the read time-out: only the session's own limit ends the call."""

    async def scene() -> None:
        calls = [impatient.ec2("describe_route_tables") for _ in range(THREADS)]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, AwsError), error
            assert (error.kind, error.code) == (AwsFault.NETWORK, "TimedOut")
        assert impatient.under_way == THREADS
        with pytest.raises(AwsError, match=f"not sent: {THREADS} earlier calls hang"):
            await impatient.ec2("describe_route_tables")

    with Dripping(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000, every_s=0.05) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        runner.run(scene())
    runner.run(until_under_way(impatient, 0))


def test_a_cancelled_call_keeps_its_slot_until_its_thread_ends(
    runner: asyncio.Runner, aws_server: AwsServer, impatient: AwsSession
) -> None:
    async def scene() -> None:
        await impatient.ec2("describe_vpcs")
        aws_server.control.set_faults(Rule(operation="ec2:DescribeVpcs", fault="hang"))
        call = asyncio.create_task(impatient.ec2("describe_vpcs"))
        await until_under_way(impatient, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert impatient.under_way == 1
        await until_under_way(impatient, 0)

    runner.run(scene())


def test_no_secret_is_in_an_error(
    runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    aws_server.control.set_faults(Rule(fault="error", status=403, code="SignatureDoesNotMatch"))
    error = failure(runner, session)
    assert "hush-hush" not in json.dumps([str(error), repr(error), error.step])
