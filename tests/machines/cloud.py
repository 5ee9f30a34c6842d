"""AWS as a machine of the VPC sees it: one process on the VPC with the test server, IMDS and the router.

The lab, which lives outside the VPC's network, controls it by a Unix socket. Run as
`python -m tests.machines.cloud SOCKET [bare]`; the world it made is the socket's `/_test/world`. A bare one
has made nothing: whoever furnishes it posts the world there.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.aws_server import REGION, AwsServer, Control, World, reference_world
from tests.aws_server.app import AwsApp
from tests.machines.network import METADATA_ADDRESS
from tests.machines.router import Router, running, targets

ADDRESS, PORT = "10.0.0.2", 4566
FIRST_METADATA_PORT = 8001
ARBITERS_TABLE = "kagemusha"  # as examples/garoon has it
ANSWER_LIMIT_S = 10.0
URL = f"http://{ADDRESS}:{PORT}"


def metadata_url(index: int) -> str:
    """Where the node of that index (0 is the first) finds its IMDS."""
    return f"http://{METADATA_ADDRESS}:{FIRST_METADATA_PORT + index}"


class Cloud(Control):
    """The controls of a running cloud, from the host's side."""

    def __init__(self, path: Path) -> None:
        super().__init__(URL)
        self.path = path

    @property
    def ready(self) -> bool:
        """Whether it answers yet."""
        try:
            self._ask("faults")
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def world(self) -> World:
        """The reference cluster's ids."""
        return msgspec.convert(self._ask("world"), World)

    def adopt(self, world: World) -> None:
        """Tell a bare one what it was furnished with: each node finds its IMDS from now on."""
        self._ask("world", json.loads(world.to_json()))

    def begin_routing(self) -> None:
        """Let the router follow the route tables, now that the subnets are there."""
        self._ask("router", {})

    def routes(self) -> dict[str, dict[str, str]]:
        """Route table id -> destination -> ENI id; "" for a route that points nowhere."""
        found: dict[str, dict[str, str]] = self._ask("routes")
        return found

    def running(self) -> set[str]:
        """The ids of the instances that run."""
        return set(self._ask("running"))

    def _ask(self, name: str, body: Sequence[Any] | dict[str, Any] | None = None) -> Any:
        connection = http.client.HTTPConnection("localhost", timeout=ANSWER_LIMIT_S)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.settimeout(ANSWER_LIMIT_S)
            connection.sock.connect(str(self.path))
            method, data = ("GET", None) if body is None else ("POST", json.dumps(body))
            connection.request(method, f"/_test/{name}", data)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"{name}: {text.decode(errors='replace')}")
        return json.loads(text)


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 (werkzeug's name for it)
        """Say nothing: the journal has it."""


def _make_arbiters_table(server: AwsServer) -> None:
    client = server.dynamodb()
    client.create_table(
        TableName=ARBITERS_TABLE,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    client.close()


def _follow(app: AwsApp, router: Router) -> None:
    """From now on, and not before: the subnets that routes point into must be there."""
    app.applied = router.applied
    router.program()


class _Furniture:
    """The world, once there is one, with an IMDS for each of its nodes."""

    def __init__(self, server: AwsServer) -> None:
        self._server = server
        self.world: World

    def adopt(self, world: World) -> None:
        """From now on it is this one."""
        self.world = world
        for index, node in enumerate(world.nodes):
            profile = world.profile(node.name)
            self._server.add_metadata(profile, METADATA_ADDRESS, FIRST_METADATA_PORT + index)

    def answer(self, body: bytes) -> object:
        """What `/_test/world` answers; a body is the world to adopt."""
        if body:
            self.adopt(msgspec.json.decode(body, type=World))
        return json.loads(self.world.to_json())

    def make(self) -> None:
        """The reference cluster, with its arbiter's table."""
        client = self._server.ec2()
        self.adopt(reference_world(client))
        client.close()
        _make_arbiters_table(self._server)


def main() -> None:
    """Serve until told to end."""
    path, *bare = sys.argv[1:]
    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # before any thread: only sigwait sees them
    with AwsServer(ADDRESS, PORT, warm=("ec2", "dynamodb")) as server:
        furniture = _Furniture(server)
        if not bare:
            furniture.make()
        router = Router(REGION)
        app = server._app
        app.faults.forget()  # the journal begins with the agents' calls
        app._controls["/_test/world"] = furniture.answer
        app._controls["/_test/router"] = lambda _body: _follow(app, router)
        app._controls["/_test/routes"] = lambda _body: targets(furniture.world)
        app._controls["/_test/running"] = lambda _body: running(REGION)
        local = make_server(f"unix://{path}", 0, app, threaded=True, request_handler=_Quiet)
        threading.Thread(target=local.serve_forever, daemon=True).start()
        signal.sigwait(stop)
        router.close()


if __name__ == "__main__":
    main()
