"""EC2 has no compare-and-set: what changes something is sent while this node may act, and once."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import closing
from socketserver import BaseServer, StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest

from agent.aws import AwsError, AwsFault, AwsSession
from recovery_kits.contract import ALWAYS, Authority
from tests.aws_server import REGION, AwsServer

LIMIT_S = 30.0
ANSWER = b"<ReplaceRouteResponse><return>true</return></ReplaceRouteResponse>"
ROUTE = {
    "RouteTableId": "rtb-0123456789abcdef0",
    "DestinationCidrBlock": "10.1.0.10/32",
    "NetworkInterfaceId": "eni-0123456789abcdef0",
}


class Brief:
    """An authority that is over once it has been asked `times` times."""

    def __init__(self, times: int) -> None:
        self.times, self.asked = times, 0

    def ms_left(self) -> int:
        self.asked += 1
        return 1_000 if self.asked <= self.times else 0


class Recorder(ThreadingTCPServer):
    """An EC2 that says yes, and tells how much of each request arrived; ends with `with`."""

    daemon_threads = False  # ending joins them: the session's connections must be closed by then

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Recording)
        self.heads = 0
        self.bodies: list[bytes] = []
        self.answers_left = 1_000  # then a request ends its connection
        self.keeps_connections = True
        self.closed = threading.Event()  # a connection, by this side
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.closed.set()


class _Recording(StreamRequestHandler):
    timeout = LIMIT_S

    def __init__(self, request: Any, address: Any, server: BaseServer) -> None:
        assert isinstance(server, Recorder)
        self.recorder = server
        super().__init__(request, address, server)

    def handle(self) -> None:
        while (length := self._head()) is not None:
            self.recorder.heads += 1
            body = self.rfile.read(length)
            if len(body) < length:
                return
            self.recorder.bodies.append(body)
            if self.recorder.answers_left == 0:
                return
            self.recorder.answers_left -= 1
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(ANSWER)}\r\n\r\n"
            self.wfile.write(head.encode() + ANSWER)
            if not self.recorder.keeps_connections:
                return

    def _head(self) -> int | None:
        """The length of the body that follows; None at the end of the connection."""
        length = None
        while line := self.rfile.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return length


@pytest.fixture
def recorder(aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    with Recorder() as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def session(aws_server: AwsServer) -> Iterator[AwsSession]:
    """On the test server, or on the recorder where a test asks for it first."""
    with closing(AwsSession(REGION)) as session:
        yield session


def change(runner: asyncio.Runner, session: AwsSession, authority: Authority) -> None:
    runner.run(session.ec2("replace_route", authority=authority, **ROUTE))


def refusal(runner: asyncio.Runner, session: AwsSession, authority: Authority) -> AwsError:
    with pytest.raises(AwsError, match="ReplaceRoute: NoAuthority") as caught:
        change(runner, session, authority)
    assert caught.value.kind is AwsFault.NO_AUTHORITY
    return caught.value


@pytest.mark.parametrize(
    "operation", ["replace_route", "create_route", "stop_instances", "assign_ipv6_addresses"]
)
def test_to_forget_the_authority_is_our_own_mistake(
    runner: asyncio.Runner, recorder: Recorder, session: AwsSession, operation: str
) -> None:
    for call in (session.ec2(operation), session.call("ec2", operation)):
        with pytest.raises(TypeError, match=f"{operation} changes something"):
            runner.run(call)
    assert recorder.heads == 0


def test_reading_needs_none(runner: asyncio.Runner, aws_server: AwsServer, session: AwsSession) -> None:
    runner.run(session.ec2("describe_route_tables"))
    assert [call.operation for call in aws_server.control.journal()] == ["ec2:DescribeRouteTables"]


def test_a_change_by_an_authority_that_lasts_arrives_whole(
    runner: asyncio.Runner, recorder: Recorder, session: AwsSession
) -> None:
    for _ in range(2):
        change(runner, session, ALWAYS)
    assert recorder.bodies[0] == recorder.bodies[1]
    assert b"Action=ReplaceRoute" in recorder.bodies[0]
    assert b"RouteTableId=rtb-0123456789abcdef0" in recorder.bodies[0]


def test_nothing_goes_out_once_authority_is_over(
    runner: asyncio.Runner, recorder: Recorder, session: AwsSession
) -> None:
    error = refusal(runner, session, Brief(0))
    assert recorder.heads == 0
    assert error.unanswered  # a kit tells nobody that its resource failed
    assert not error.passing  # and doesn't try again


def test_authority_that_ends_while_the_connection_is_made_is_noticed(
    runner: asyncio.Runner, recorder: Recorder, session: AwsSession
) -> None:
    """The head of the request is out by then; without its body it asks for nothing."""
    refusal(runner, session, Brief(1))
    assert recorder.closed.wait(LIMIT_S)
    assert (recorder.heads, recorder.bodies) == (1, [])
    change(runner, session, ALWAYS)  # on a connection of its own
    assert len(recorder.bodies) == 1


def test_a_request_on_a_connection_that_breaks_is_not_sent_again(
    runner: asyncio.Runner, recorder: Recorder, session: AwsSession
) -> None:
    recorder.answers_left = 1
    change(runner, session, ALWAYS)
    authority = Brief(1_000)
    with pytest.raises(AwsError, match="ConnectionClosed") as caught:
        change(runner, session, authority)
    assert caught.value.kind is AwsFault.NETWORK
    assert len(recorder.bodies) == 2
    assert authority.asked == 2  # before the connection and before the body; no more tries


def test_a_kept_connection_that_the_server_has_closed_is_opened_anew_and_authority_asked_then(
    runner: asyncio.Runner, recorder: Recorder, session: AwsSession
) -> None:
    recorder.keeps_connections = False
    change(runner, session, ALWAYS)
    assert recorder.closed.wait(LIMIT_S)
    refusal(runner, session, Brief(1))
    assert len(recorder.bodies) == 1
    change(runner, session, Brief(2))
    assert len(recorder.bodies) == 2


def test_calls_at_the_same_time_ask_each_its_own_authority(
    runner: asyncio.Runner, recorder: Recorder, session: AwsSession
) -> None:
    async def scene() -> list[object]:
        authorities = [ALWAYS, Brief(0)] * 4
        calls = [session.ec2("replace_route", authority=each, **ROUTE) for each in authorities]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    answers = runner.run(scene())
    assert [isinstance(each, AwsError) for each in answers] == [False, True] * 4
    assert len(recorder.bodies) == 4


class Suspended:
    """An authority that its node's freezing keeps from being told; it is over when the node goes on."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()

    def ms_left(self) -> int:
        self.goes_on.wait(LIMIT_S)
        return 0


def test_a_thread_that_outlives_its_caller_sends_nothing_later(
    runner: asyncio.Runner, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    frozen = Suspended()
    with closing(AwsSession(REGION, connect_timeout_ms=100, read_timeout_ms=100)) as session:
        runner.run(session.load("ec2"))
        try:
            with pytest.raises(AwsError, match="no answer within"):
                change(runner, session, frozen)
            assert session.under_way == 1
        finally:
            frozen.goes_on.set()
        runner.run(until_idle(session))
    assert recorder.heads == 0
    gc.collect()
    assert caplog.text == ""  # asyncio would tell of an error that nobody took


async def until_idle(session: AwsSession) -> None:
    async with asyncio.timeout(LIMIT_S):
        while session.under_way:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
