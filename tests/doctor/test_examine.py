"""The whole look, at the test's AWS: good, broken, refused, away. It changes nothing, and never raises."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.aws.metadata import ENDPOINT_VARIABLE
from agent.config.load import parse
from agent.config.model import Config
from agent.core.ids import NodeId
from agent.doctor import checks
from agent.doctor.checks import ACCOUNT, CHECKS, examine
from agent.doctor.contract import Outcome
from recovery_kits.registry import kits
from tests.aws_server import REGION, AwsServer, Rule, World, throttle

TEXT = """\
[cluster]
name = "lab"
key_file = "/etc/kagemusha/cluster.key"
quorum = "none"

[aws]
region = "{region}"
read_timeout = "{read_timeout}"

[comm_path.eni-0]
priority = 1
db-01 = "10.0.3.4"
db-02 = "10.0.6.4"

[comm_path.eni-1]
priority = 2
db-01 = "10.0.12.4"
db-02 = "10.0.14.4"

[hierarchy.app]
nodes = ["db-01", "db-02"]

[hierarchy.app.resource.it]
kit = "{kit}"
{parameters}
"""
DB_01 = NodeId("db-01")
SCRIPT = 'id = "app"\nrestore = "/bin/true"\nremove = "/bin/true"\n'
Said = dict[str, list[tuple[Outcome, str]]]


def configured(kit: str, parameters: str, read_timeout: str = "2s") -> Config:
    text = TEXT.format(region=REGION, read_timeout=read_timeout, kit=kit, parameters=parameters)
    return parse(text, Path("/etc/hostname"), kits())


def route(world: World, read_timeout: str = "2s") -> Config:
    tables = ", ".join(f'"{table}"' for table in world.route_tables)
    parameters = f'destination = "{world.destination}"\nroute_tables = [{tables}]\n'
    return configured("route", parameters, read_timeout)


def account(config: Config) -> Said:
    """What the checks of the account say."""
    said: Said = {}
    for check, verdict in asyncio.run(examine(config, DB_01)):
        if check.group == ACCOUNT:
            said.setdefault(check.name, []).append((verdict.outcome, verdict.text))
    return said


@pytest.fixture(autouse=True)
def on_db_01(aws_server: AwsServer, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT_VARIABLE, aws_server.add_metadata(world.profile("db-01")).url)


@pytest.fixture
def opened(aws_server: AwsServer, world: World) -> None:
    """All of the nodes' ENIs are in a group whose members may send each other everything."""
    with closing(aws_server.ec2()) as client:
        group = client.create_security_group(GroupName="nodes", Description="-", VpcId=world.vpc_id)[
            "GroupId"
        ]
        own: Any = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
        client.authorize_security_group_ingress(GroupId=group, IpPermissions=own)
        for interface in (each for node in world.nodes for each in node.interfaces):
            client.modify_network_interface_attribute(NetworkInterfaceId=interface.id, Groups=[group])
    aws_server.forget_calls()


def test_the_account_is_described_once_and_nothing_is_changed(
    aws_server: AwsServer, world: World, opened: None
) -> None:
    said = account(route(world))
    assert list(said) == [check.name for check in CHECKS if check.group == ACCOUNT]
    assert [text for _, text in said["addresses"]] == [
        f"{node.name} is {node.instance_id} in {node.availability_zone}" for node in world.nodes
    ]
    for name in (
        "addresses",
        "zones",
        "security-groups",
        "source-checks",
        "virtual-addresses",
        "client-routes",
    ):
        assert {outcome for outcome, _ in said[name]} == {Outcome.OK}, said[name]
    assert {outcome for outcome, _ in said["profiles"]} == {Outcome.PROBLEM}  # the reference has no role
    operations = sorted(call.operation for call in aws_server.control.journal())
    assert operations == [
        "ec2:DescribeInstances",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeRouteTables",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
    ]


def test_groups_that_let_nothing_in_are_found(aws_server: AwsServer, world: World, opened: None) -> None:
    with closing(aws_server.ec2()) as client:
        made = client.create_security_group(GroupName="shut", Description="-", VpcId=world.vpc_id)
        shut = world.node("db-02").interfaces[0].id
        client.modify_network_interface_attribute(NetworkInterfaceId=shut, Groups=[made["GroupId"]])
    texts = [text for outcome, text in account(route(world))["security-groups"] if outcome is Outcome.PROBLEM]
    assert (
        f"messages (TCP 7400) from db-01 to db-02 on eni-0: no security group lets them into {shut}" in texts
    )
    assert all(" on eni-0: " in text for text in texts)  # the other comm path has the usual groups


@pytest.mark.parametrize(
    "rule",
    [
        throttle(),
        Rule(fault="error", status=403, code="UnauthorizedOperation"),
        Rule(fault="error", status=500, code="InternalError"),
        Rule(fault="drop-before"),
        Rule(fault="hang"),
    ],
    ids=["throttled", "not permitted", "broken", "cut off", "silent"],
)
def test_an_account_that_does_not_tell_is_unknown(aws_server: AwsServer, world: World, rule: Rule) -> None:
    aws_server.control.set_faults(rule)
    said = account(route(world, read_timeout="200ms"))
    assert {outcome for rows in said.values() for outcome, _ in rows} == {Outcome.UNKNOWN}
    assert len(said) == len([check for check in CHECKS if check.group == ACCOUNT])


def test_one_permission_that_is_missing_costs_one_answer(aws_server: AwsServer, world: World) -> None:
    denied = Rule(
        operation="ec2:DescribeSecurityGroups", fault="error", status=403, code="UnauthorizedOperation"
    )
    aws_server.control.set_faults(denied)
    said = account(route(world))
    assert [outcome for outcome, _ in said["security-groups"]] == [Outcome.UNKNOWN]
    assert {outcome for outcome, _ in said["addresses"]} == {Outcome.OK}


def test_an_imds_that_is_away_leaves_open_only_who_this_is(aws_server: AwsServer, world: World) -> None:
    aws_server.control.metadata_down(world.node("db-01").instance_id, down=True)
    said = account(route(world))
    assert [outcome for outcome, _ in said["addresses"]] == [Outcome.UNKNOWN]
    assert {outcome for outcome, _ in said["zones"]} == {Outcome.OK}


def test_without_aws_in_the_configuration_the_account_is_left_alone(aws_server: AwsServer) -> None:
    assert account(configured("generic", SCRIPT)) == {}
    assert aws_server.control.journal() == []


def test_a_host_that_hangs_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(checks, "WITHIN_S", 0.05)
    monkeypatch.setattr(asyncio, "to_thread", never)
    verdicts = asyncio.run(examine(configured("generic", SCRIPT), DB_01))
    assert {each.outcome for check, each in verdicts if check.group == "host"} == {Outcome.UNKNOWN}
