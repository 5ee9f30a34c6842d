"""How long the route kit takes to lead 1, 2, 6 and 10 tables to another node, the API answering in 200 ms.

Times whole `restore` actions, reading back included, against the test server in a process of its own;
the EC2 client is warm, as in an agent, and its connections are kept.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_network
from typing import Any, NoReturn

import boto3

from agent.aws import AwsSession
from recovery_kits.contract import Tools
from recovery_kits.route import RouteKit, RouteParameters
from tests.aws_server import REGION, Control, latency
from tests.bench.figures import Figure

TABLES = (1, 2, 6, 10)
BUDGET_S = 0.8
LATENCY_S = 0.2
START_LIMIT_S = 30
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIABENCH", "AWS_SECRET_ACCESS_KEY": "secret"}


@contextmanager
def running_server() -> Iterator[dict[str, Any]]:
    """The test server with the reference cluster; yields what it says of itself."""
    command = [sys.executable, "-m", "tests.aws_server", "--seed"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()
            server.wait(START_LIMIT_S)


def make_tables(url: str, vpc: str, count: int) -> list[str]:
    """So many route tables without a route to the virtual IP."""
    with closing(boto3.client("ec2", endpoint_url=url, region_name=REGION)) as client:
        made = [client.create_route_table(VpcId=vpc) for _ in range(count)]
    return [each["RouteTable"]["RouteTableId"] for each in made]


async def no_command(*argv: str, env: object = None, log: object = None) -> NoReturn:
    """The kit runs no commands."""
    raise AssertionError(argv)


async def flip(aws: AwsSession, tables: list[str], interfaces: list[str], flips: int) -> list[float]:
    """The seconds of each of `flips` restores, which lead the tables to and fro between `interfaces`."""
    tools = Tools(tag="route", node="bench", run=no_command, aws=aws)
    destination = ip_network("10.1.0.10/32")
    kits = [
        RouteKit(RouteParameters(destination=destination, route_tables=tuple(tables), interface=each), tools)
        for each in interfaces
    ]
    await kits[-1].restore()  # creates the routes
    seconds: list[float] = []
    for turn in range(flips):
        begin = time.perf_counter()
        await kits[turn % len(kits)].restore()
        seconds.append(time.perf_counter() - begin)
    return seconds


async def measure(server: dict[str, Any], flips: int) -> list[Figure]:
    """One figure for each number of tables."""
    world = server["world"]
    interfaces = [node["interfaces"][0]["id"] for node in world["nodes"]]
    tables = make_tables(server["url"], world["vpc_id"], max(TABLES))
    Control(server["url"]).set_faults(latency(LATENCY_S))
    what = f"API latency {LATENCY_S * 1_000:.0f} ms: flip of route tables, "
    with closing(AwsSession(REGION)) as aws:
        return [
            Figure(f"{what}{count}", "s", tuple(await flip(aws, tables[:count], interfaces, flips)), BUDGET_S)
            for count in TABLES
        ]


def figures(flips: int) -> Iterator[Figure]:
    """Whole `restore` actions of the kit, reading back included."""
    with running_server() as server:
        os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=server["url"])
        yield from asyncio.run(measure(server, flips))
