"""The test server keeps its promises: else no test on it proves anything."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.aws_server import REGION, AwsServer, Rule, World, latency, throttle

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

ROUNDS = 60
DESTINATION = "10.1.0.10/32"


@contextmanager
def eager_threads() -> Iterator[None]:
    """Let threads interrupt each other a thousand times more often than usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@pytest.fixture(scope="module")
def session() -> boto3.Session:
    return boto3.Session(region_name=REGION)


def impatient(session: boto3.Session, server: AwsServer) -> EC2Client:
    """A client that waits 0.3 s for an answer and never tries again."""
    config = Config(read_timeout=0.3, retries={"total_max_attempts": 1})
    return session.client("ec2", endpoint_url=server.url, config=config)


def target_of(server: AwsServer, table: str) -> str | None:
    with closing(server.ec2()) as client:
        routes = client.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    found = [each for each in routes if each.get("DestinationCidrBlock") == DESTINATION]
    return found[0].get("NetworkInterfaceId") if found else None


def test_a_race_for_one_conditional_write_has_exactly_one_winner(aws_server: AwsServer) -> None:
    with closing(aws_server.dynamodb()) as client, ThreadPoolExecutor(2) as pool, eager_threads():
        client.create_table(
            TableName="votes",
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        together = threading.Barrier(2)

        def take(key: str, holder: str) -> bool:
            together.wait(10)
            try:
                client.put_item(
                    TableName="votes",
                    Item={"k": {"S": key}, "holder": {"S": holder}},
                    ConditionExpression="attribute_not_exists(k)",
                )
            except client.exceptions.ConditionalCheckFailedException:
                return False
            return True

        for turn in range(ROUNDS):
            both = [pool.submit(take, f"round-{turn}", holder) for holder in ("a", "b")]
            assert sorted(each.result() for each in both) == [False, True], turn


def test_a_throttle_ends_after_so_many_calls(aws_server: AwsServer) -> None:
    aws_server.control.set_faults(throttle("ec2:Describe*", left=2))
    with closing(aws_server.ec2()) as client:
        for _ in range(2):
            with pytest.raises(ClientError, match="RequestLimitExceeded"):
                client.describe_route_tables()
        client.describe_route_tables()
    assert [rule.left for rule in aws_server.control.faults()] == [0]


def test_a_rule_for_one_access_key_leaves_other_nodes_alone(aws_server: AwsServer) -> None:
    aws_server.control.set_faults(Rule(key="AKIA1", fault="error", status=403, code="UnauthorizedOperation"))
    with closing(aws_server.ec2("AKIA1")) as cut_off, closing(aws_server.ec2("AKIA2")) as other:
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            cut_off.describe_vpcs()
        other.describe_vpcs()


@pytest.mark.parametrize(
    ("rule", "error", "applied"),
    [
        (Rule(operation="ec2:DeleteRoute", fault="drop-before"), ConnectionClosedError, False),
        (Rule(operation="ec2:DeleteRoute", fault="drop-after"), ConnectionClosedError, True),
        (Rule(operation="ec2:DeleteRoute", fault="hang"), ReadTimeoutError, False),
        (Rule(operation="ec2:DeleteRoute", delay_after_s=5), ReadTimeoutError, True),
    ],
    ids=["drop-before", "drop-after", "hang", "late-reply"],
)
def test_a_lost_call_was_applied_or_not_as_its_rule_says(
    aws_server: AwsServer,
    world: World,
    session: boto3.Session,
    rule: Rule,
    error: type[Exception],
    applied: bool,
) -> None:
    aws_server.control.set_faults(rule)
    with closing(impatient(session, aws_server)) as client, pytest.raises(error):
        client.delete_route(RouteTableId=world.route_tables[0], DestinationCidrBlock=world.destination)
    assert (target_of(aws_server, world.route_tables[0]) is None) == applied
    assert [call.fault for call in aws_server.control.journal("ec2:DeleteRoute")] == [rule.fault]


def test_a_late_call_is_applied_when_it_is_released(
    aws_server: AwsServer, world: World, session: boto3.Session
) -> None:
    aws_server.control.set_faults(Rule(operation="ec2:DeleteRoute", fault="late"))
    with closing(impatient(session, aws_server)) as client, pytest.raises(ReadTimeoutError):
        client.delete_route(RouteTableId=world.route_tables[0], DestinationCidrBlock=world.destination)
    assert target_of(aws_server, world.route_tables[0]) is not None
    aws_server.control.release_late()
    for _ in range(200):
        if target_of(aws_server, world.route_tables[0]) is None:
            return
        time.sleep(0.05)
    pytest.fail("it was never applied")


def test_a_call_that_waits_holds_up_no_other(aws_server: AwsServer, session: boto3.Session) -> None:
    aws_server.control.set_faults(Rule(operation="ec2:DescribeVpcs", fault="hang"))
    with closing(impatient(session, aws_server)) as client, ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(client.describe_vpcs)
        client.describe_subnets()
        with pytest.raises(ReadTimeoutError):
            hanging.result()


def test_delays_add_to_the_first_fault_that_matches(aws_server: AwsServer) -> None:
    aws_server.control.set_faults(
        latency(0.01), throttle("ec2:DescribeVpcs", left=1), Rule(fault="hang", left=0)
    )
    with closing(aws_server.ec2()) as client:
        with pytest.raises(ClientError, match="RequestLimitExceeded"):
            client.describe_vpcs()
        client.describe_vpcs()
    assert [call.fault for call in aws_server.control.journal()] == ["error", "none"]


def test_the_journal_tells_who_called_what_in_order(aws_server: AwsServer) -> None:
    with closing(aws_server.ec2("AKIA1")) as one, closing(aws_server.ec2("AKIA2")) as two:
        one.describe_vpcs()
        two.describe_subnets()
    calls = aws_server.control.journal()
    assert [(call.key, call.operation) for call in calls] == [
        ("AKIA1", "ec2:DescribeVpcs"),
        ("AKIA2", "ec2:DescribeSubnets"),
    ]
    assert calls[0].at_s <= calls[1].at_s


@pytest.mark.parametrize("body", ['[{"fault": "explode"}]', '[{"operatoin": "*"}]', "{"])
def test_a_rule_that_would_do_nothing_is_refused(aws_server: AwsServer, body: str) -> None:
    with pytest.raises(HTTPError, match="400") as refusal:
        urlopen(Request(f"{aws_server.url}/_test/faults", body.encode()), timeout=5)
    with closing(refusal.value) as answer:
        assert json.load(answer)["error"]


def test_a_second_route_to_one_destination_is_refused(aws_server: AwsServer, world: World) -> None:
    second = world.node("db-02").interfaces[0].id
    with closing(aws_server.ec2()) as client, pytest.raises(ClientError, match="RouteAlreadyExists"):
        client.create_route(
            RouteTableId=world.route_tables[0],
            DestinationCidrBlock=world.destination,
            NetworkInterfaceId=second,
        )
    assert target_of(aws_server, world.route_tables[0]) == world.node("db-01").interfaces[0].id


def test_an_unknown_interface_leaves_the_route_as_it_was(aws_server: AwsServer, world: World) -> None:
    with closing(aws_server.ec2()) as client, pytest.raises(ClientError, match=r"InterfaceID\.NotFound"):
        client.replace_route(
            RouteTableId=world.route_tables[0],
            DestinationCidrBlock=world.destination,
            NetworkInterfaceId="eni-0123456789abcdef0",
        )
    assert target_of(aws_server, world.route_tables[0]) == world.node("db-01").interfaces[0].id


def test_a_route_to_a_stopped_node_is_a_blackhole(aws_server: AwsServer, world: World) -> None:
    node = world.node("db-01")
    with closing(aws_server.ec2()) as client:
        client.stop_instances(InstanceIds=[node.instance_id])
        table = client.describe_route_tables(RouteTableIds=[world.route_tables[0]])["RouteTables"][0]
    (route,) = (each for each in table["Routes"] if each.get("DestinationCidrBlock") == world.destination)
    assert (route["State"], route["InstanceId"]) == ("blackhole", node.instance_id)


def test_a_policy_for_one_route_table_permits_no_other(
    aws_server: AwsServer, world: World, session: boto3.Session
) -> None:
    arn = f"arn:aws:ec2:{REGION}:123456789012:route-table/{world.route_tables[0]}"
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "ec2:*", "Resource": arn}}
    with closing(session.client("iam", endpoint_url=aws_server.url)) as iam:
        iam.create_user(UserName="node")
        iam.put_user_policy(UserName="node", PolicyName="routes", PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName="node")["AccessKey"]
    node = session.client(
        "ec2",
        endpoint_url=aws_server.url,
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=made["SecretAccessKey"],
    )

    def replace(table: str) -> None:
        second = world.node("db-02").interfaces[0].id
        node.replace_route(RouteTableId=table, DestinationCidrBlock=DESTINATION, NetworkInterfaceId=second)

    set_iam(aws_server, "0")
    try:
        replace(world.route_tables[0])
        with pytest.raises(ClientError, match="AccessDenied"):
            replace(world.route_tables[1])
    finally:
        set_iam(aws_server, "inf")
        node.close()


def set_iam(server: AwsServer, calls_until_enforced: str) -> None:
    url, plain = f"{server.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
    urlopen(Request(url, calls_until_enforced.encode(), plain), timeout=5).close()


def test_a_stale_call_is_answered_as_the_same_one_was_before_the_mark(
    aws_server: AwsServer, world: World
) -> None:
    table = world.route_tables[0]
    before = target_of(aws_server, table)
    with closing(aws_server.ec2()) as client:
        aws_server.control.mark()
        client.replace_route(
            RouteTableId=table,
            DestinationCidrBlock=world.destination,
            NetworkInterfaceId=world.node("db-02").interfaces[0].id,
        )
    aws_server.control.set_faults(Rule(operation="ec2:Describe*", fault="stale", left=1))
    assert target_of(aws_server, table) == before
    assert target_of(aws_server, table) == world.node("db-02").interfaces[0].id
    aws_server.control.set_faults(Rule(operation="ec2:Describe*", fault="stale"))
    assert target_of(aws_server, world.route_tables[1]) == before, "never asked: as it is"
