"""The lab's own parts: routes that are followed, a supervisor, a client's sums, a changed example."""

from __future__ import annotations

import signal
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines import cloud
from tests.machines.client import Client
from tests.machines.lab import CLIENTS, EXAMPLE, VIRTUAL_ADDRESS, ClusterLab
from tests.machines.machine import Machine, wait_until
from tests.machines.settings import overlay
from tests.machines.supervisor import Supervised

REPLACE_ROUTE = """
import boto3, sys
session = boto3.Session(aws_access_key_id="key", aws_secret_access_key="secret", region_name=sys.argv[1])
ec2 = session.client("ec2", endpoint_url=sys.argv[2])
ec2.replace_route(RouteTableId=sys.argv[3], DestinationCidrBlock=sys.argv[4], NetworkInterfaceId=sys.argv[5])
"""
WHO_ANSWERS = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind((sys.argv[1], 0))
    udp.settimeout(0.3)
    try:
        udp.connect((sys.argv[2], 7))
        udp.send(b"who?")
        print(udp.recv(64).decode())
    except OSError:
        print("nobody")
"""
SAY_NAME = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind(("10.1.0.10", 7))
    while True:
        udp.sendto(socket.gethostname().encode(), udp.recvfrom(64)[1])
"""


@pytest.mark.cluster
def test_each_app_subnet_reaches_the_node_that_its_own_route_table_names() -> None:
    with ClusterLab() as lab:
        for name in lab.nodes:
            lab.boot(name)
            lab.machines[name].run("ip", "address", "add", f"{VIRTUAL_ADDRESS}/32", "dev", "lo")
            lab.machines[name].spawn("/usr/bin/python3", "-c", SAY_NAME, log="name.log")

        def answers() -> tuple[str, ...]:
            """Who answers a client in subnet a, and in subnet c."""
            ask = ("/usr/bin/python3", "-c", WHO_ANSWERS)
            return tuple(lab.vpc.run(*ask, client, VIRTUAL_ADDRESS).strip() for client in CLIENTS)

        def move(table: str, node: str) -> None:
            eni = lab.world.node(node).interfaces[0].id
            where = (lab.world.region, cloud.URL, table, lab.world.destination, eni)
            lab.vpc.run(sys.executable, "-c", REPLACE_ROUTE, *where)
            assert lab.cloud.routes()[table] == {lab.world.destination: eni}

        first, second = lab.world.route_tables
        wait_until(lambda: answers() == ("db-01", "db-01"), 10, "both tables lead to db-01")
        move(second, "db-02")
        wait_until(lambda: answers() == ("db-01", "db-02"), 10, "the second table leads to db-02")
        move(first, "db-02")
        wait_until(lambda: answers() == ("db-02", "db-02"), 10, "both tables lead to db-02")
        lab.power_off("db-02")
        assert answers() == ("nobody", "nobody")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine("db-01", tmp_path)
    try:
        machine.boot()
        yield machine
    finally:
        machine.power_off()


@pytest.mark.cluster
def test_the_supervisor_starts_an_agent_again_until_it_is_stopped(machine: Machine) -> None:
    agent = Supervised(machine, ("sleep", "1000"), {})
    agent.start()
    first = agent.pid()
    agent.signal(signal.SIGKILL)
    wait_until(lambda: agent.pid() != first, 5, "it was started again")
    agent.stop()
    assert machine.processes() == []


@pytest.mark.cluster
def test_the_supervisor_leaves_an_agent_alone_that_cannot_start(machine: Machine) -> None:
    agent = Supervised(machine, ("sh", "-c", "exit 2"), {})
    agent.start()
    log = machine.logs / agent.log
    wait_until(lambda: log.exists() and log.read_text(), 5, "the supervisor said something")
    wait_until(lambda: not machine.processes(), 5, "the supervisor ended")
    assert log.read_text() == "supervisor: the agent ended with 2\n"


def test_the_outage_is_the_longest_gap_of_whichever_subnet_was_worse_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vpc = Machine("vpc", tmp_path)
    monkeypatch.setattr(vpc, "spawn", lambda *_argv, log: None)
    client = Client(vpc, VIRTUAL_ADDRESS, 1, ("a", "c"))
    half_written = "c"
    lines = ("a 1.0", "a 2.0", "a 3.0", "c 1.0", "c 1.5", "c 3.0", "a 9.0", half_written)
    client.seen.write_text("\n".join(lines))
    assert client.outage_s(since_s=0.9, until_s=3.1) == pytest.approx(1.5)
    assert client.outage_s(since_s=2.0, until_s=8.0) == pytest.approx(5.0), "an outage that goes on counts"
    assert client.working_since(2.9)
    assert not client.working_since(3.0), "c wasn't answered any more"


def test_an_overlay_changes_what_it_names_and_keeps_the_rest() -> None:
    text = (EXAMPLE / "cluster.toml").read_text()
    whole = tomllib.loads(text)
    changed = tomllib.loads(
        overlay(
            text,
            {"cluster.preset": "fast", "aws.region": "eu-west-1"},
            {"hierarchy.groupware.switchback": None},
        )
    )
    assert changed.pop("aws") == {"region": "eu-west-1"}
    assert changed["cluster"].pop("preset") == "fast"
    del whole["cluster"]["preset"], whole["hierarchy"]["groupware"]["switchback"]
    assert changed == whole
