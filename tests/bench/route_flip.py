"""How long the route kit takes to lead 1, 2, 6 and 10 tables to another node, the API being slow or slower.

Times whole `restore` actions, reading back included, against the test server in a process of its own;
each in an agent's session of its own, as a standby's: its EC2 client is loaded, and has asked one question.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any, NoReturn

import boto3

from agent.aws import AwsSession
from recovery_kits.contract import Site, Tools
from recovery_kits.route import RouteKit, RouteParameters
from tests.aws_server import REGION, Control, latency
from tests.bench.figures import Figure

TABLES = (1, 2, 6, 10)
BUDGETS_S = {0.2: 0.8, 1.0: 2.5}  # by the API's latency
DESTINATION = ip_network("10.1.0.10/32")
BY_TAG = "tag:bench=found"
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


def make_tables(url: str, vpc: str, interface: str, count: int) -> tuple[str, ...]:
    """So many route tables, tagged, which lead the virtual IP to `interface`."""
    key, _, value = BY_TAG.removeprefix("tag:").partition("=")
    with closing(boto3.client("ec2", endpoint_url=url, region_name=REGION)) as client:
        made = [client.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(count)]
        client.create_tags(Resources=made, Tags=[{"Key": key, "Value": value}])
        for table in made:
            client.create_route(
                RouteTableId=table, DestinationCidrBlock=str(DESTINATION), NetworkInterfaceId=interface
            )
    return tuple(made)


async def no_command(*argv: str, env: object = None, log: object = None) -> NoReturn:
    """The kit runs no commands."""
    raise AssertionError(argv)


async def flip(interface: str, **which: Any) -> float:
    """The seconds of one restore by an agent that has done nothing yet but look at the routes."""
    parameters = RouteParameters(destination=DESTINATION, interface=interface, **which)
    with tempfile.TemporaryDirectory() as state_dir, closing(AwsSession(REGION)) as aws:
        site = Site(state_dir=Path(state_dir))
        kit = RouteKit(parameters, Tools(tag="route", node="bench", run=no_command, aws=aws, site=site))
        await kit.quick_check()
        begin = time.perf_counter()
        await kit.restore()
        return time.perf_counter() - begin


async def measure(server: dict[str, Any], flips: int) -> AsyncIterator[Figure]:
    """One figure for each latency and number of tables; the largest number once more, found by a tag."""
    world = server["world"]
    interfaces = [node["interfaces"][0]["id"] for node in world["nodes"]]
    tables = make_tables(server["url"], world["vpc_id"], interfaces[-1], max(TABLES))
    choices: dict[str, dict[str, Any]] = {f"{count}": {"route_tables": tables[:count]} for count in TABLES}
    choices[f"{len(tables)} found"] = {"route_tables_by": BY_TAG}
    for latency_s, budget_s in BUDGETS_S.items():
        Control(server["url"]).set_faults(latency(latency_s))
        for which, choice in choices.items():
            turns = itertools.islice(itertools.cycle(interfaces), flips)
            seconds = tuple([await flip(each, **choice) for each in turns])
            what = f"API latency {latency_s * 1_000:.0f} ms: flip of route tables, {which}"
            yield Figure(what, "s", seconds, budget_s)


def figures(flips: int) -> Iterator[Figure]:
    """Whole `restore` actions of the kit, reading back included."""
    with running_server() as server, asyncio.Runner() as runner:
        os.environ.update(CREDENTIALS, AWS_ENDPOINT_URL=server["url"])
        measuring = measure(server, flips)
        while (figure := runner.run(anext(measuring, None))) is not None:
            yield figure
