"""Proxies, VPC endpoints, FIPS and dual stack are taken from the environment, as AWS's own tools do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from agent.aws import AwsError, AwsFault, AwsSession
from recovery_kits.contract import ALWAYS, Service
from tests.aws_server import REGION, AwsServer, World

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class Proxy(ThreadingHTTPServer):
    """Forwards plain HTTP, and refuses tunnels: it is told where they were to lead. Ends with `with`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Proxying)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Proxying(BaseHTTPRequestHandler):
    server: Proxy

    def do_CONNECT(self) -> None:
        self.server.asked.append(f"CONNECT {self.path}")
        self.send_error(403)

    def do_POST(self) -> None:
        target = urlsplit(self.path)
        self.server.asked.append(f"POST {target.netloc}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with closing(HTTPConnection(target.netloc, timeout=10)) as onward:
            onward.request("POST", target.path, body, dict(self.headers))
            answer = onward.getresponse()
            content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Say nothing."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with Proxy() as server:
        yield server


@pytest.fixture
def session(aws_server: AwsServer) -> Iterator[AwsSession]:
    with closing(AwsSession(REGION)) as session:
        yield session


def endpoint(runner: asyncio.Runner, session: AwsSession, service: Service) -> str:
    return runner.run(session.load(service)).endpoint


def test_calls_go_through_the_proxy_and_changes_arrive(
    runner: asyncio.Runner,
    aws_server: AwsServer,
    proxy: Proxy,
    session: AwsSession,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    change = session.ec2(
        "replace_route",
        authority=ALWAYS,
        RouteTableId=world.route_tables[0],
        DestinationCidrBlock=world.destination,
        NetworkInterfaceId=world.node("db-02").interfaces[0].id,
    )
    assert runner.run(change)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert proxy.asked == [f"POST 127.0.0.1:{aws_server.port}"]
    assert len(aws_server.control.journal("ec2:ReplaceRoute")) == 1


def test_over_tls_a_tunnel_is_asked_for_and_its_refusal_is_no_answer(
    runner: asyncio.Runner, proxy: Proxy, session: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with pytest.raises(AwsError, match="ProxyConnectionError") as caught:
        runner.run(session.ec2("describe_vpcs"))
    assert caught.value.kind is AwsFault.NETWORK
    assert proxy.asked == [f"CONNECT ec2.{REGION}.amazonaws.com:443"]


def test_what_no_proxy_names_is_asked_directly(
    runner: asyncio.Runner,
    aws_server: AwsServer,
    proxy: Proxy,
    session: AwsSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "169.254.169.254,127.0.0.1")
    runner.run(session.ec2("describe_vpcs"))
    assert proxy.asked == []
    assert len(aws_server.control.journal("ec2:DescribeVpcs")) == 1


def test_a_vpc_endpoint_of_one_service_goes_before_that_of_all(
    runner: asyncio.Runner, session: AwsSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://all.example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "https://vpce-1.ec2.example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "https://vpce-2.elb.example")
    assert endpoint(runner, session, "ec2") == "https://vpce-1.ec2.example"
    assert endpoint(runner, session, "elbv2") == "https://vpce-2.elb.example"
    assert endpoint(runner, session, "sts") == "https://all.example"


@pytest.mark.parametrize(
    ("variable", "region", "host"),
    [
        ("AWS_USE_FIPS_ENDPOINT", "us-east-1", "https://ec2-fips.us-east-1.amazonaws.com"),
        ("AWS_USE_DUALSTACK_ENDPOINT", REGION, f"https://ec2.{REGION}.api.aws"),
    ],
)
def test_fips_and_dual_stack_endpoints_are_taken_where_asked_for(
    runner: asyncio.Runner,
    aws_server: AwsServer,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    region: str,
    host: str,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv(variable, "true")
    with closing(AwsSession(region)) as session:
        assert endpoint(runner, session, "ec2") == host
