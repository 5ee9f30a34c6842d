"""Route tables that are found rather than named: what is found when, and what is done meanwhile."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.route.memory import LONGEST_FILE
from tests.aws_server import AwsServer, Rule, World, throttle
from tests.kits.route.harness import Node, operations, target, targets

CREATE, REPLACE, DESCRIBE = "ec2:CreateRoute", "ec2:ReplaceRoute", "ec2:DescribeRouteTables"
FIND_VPC = "ec2:DescribeNetworkInterfaces"
BY_VIP, BY_TAG = "vip", "tag:cluster=garoon"


@pytest.fixture
def account(aws_server: AwsServer, world: World) -> Account:
    """The world's tables have the tag as well as the route."""
    account = Account(aws_server, world)
    account.tag(*world.route_tables)
    return account


@dataclass(frozen=True)
class Account:
    """What other people do to the account."""

    server: AwsServer
    world: World

    def make_table(self, vpc: str | None = None) -> str:
        with closing(self.server.ec2()) as client:
            made = client.create_route_table(VpcId=vpc or self.world.vpc_id)["RouteTable"]["RouteTableId"]
            self.server.forget_calls()
            return made

    def route(self, table: str, interface: str) -> None:
        with closing(self.server.ec2()) as client:
            client.create_route(
                RouteTableId=table,
                DestinationCidrBlock=self.world.destination,
                NetworkInterfaceId=interface,
            )
        self.server.forget_calls()

    def delete_route(self, table: str) -> None:
        with closing(self.server.ec2()) as client:
            client.delete_route(RouteTableId=table, DestinationCidrBlock=self.world.destination)
        self.server.forget_calls()

    def tag(self, *tables: str) -> None:
        with closing(self.server.ec2()) as client:
            client.create_tags(Resources=tables, Tags=[{"Key": "cluster", "Value": "garoon"}])
        self.server.forget_calls()

    def untag(self, *tables: str) -> None:
        with closing(self.server.ec2()) as client:
            client.delete_tags(Resources=tables, Tags=[{"Key": "cluster"}])
        self.server.forget_calls()

    def target(self, table: str) -> str | None:
        return target(self.server, table, self.world.destination)


@pytest.mark.parametrize("by", [BY_VIP, BY_TAG])
def test_every_table_that_is_found_leads_here_and_no_other(
    db_02: Node, account: Account, aws_server: AwsServer, world: World, by: str
) -> None:
    other = account.make_table()
    for _ in range(2):
        db_02.restore(route_tables_by=by)
        assert targets(aws_server, world) == [db_02.interface] * 2
        assert db_02.check(route_tables_by=by).health is Health.OK
    assert account.target(other) is None


def test_a_tag_chooses_a_table_that_has_no_route_yet(db_02: Node, account: Account) -> None:
    table = account.make_table()
    account.tag(table)
    db_02.restore(route_tables_by=BY_TAG)
    assert account.target(table) == db_02.interface


@pytest.mark.parametrize("by", [BY_VIP, BY_TAG])
def test_another_vpc_has_the_same_address_and_tag_and_is_left_alone(
    db_02: Node, account: Account, aws_server: AwsServer, by: str
) -> None:
    with closing(aws_server.ec2()) as client:
        vpc = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
        made = client.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    table = account.make_table(vpc)
    account.tag(table)
    account.route(table, made)
    db_02.restore(route_tables_by=by)
    assert account.target(table) == made


def test_the_first_search_asks_for_the_vpc_and_later_ones_cost_no_call_more(
    db_02: Node, account: Account, aws_server: AwsServer
) -> None:
    db_02.check(route_tables_by=BY_VIP)
    assert operations(aws_server) == [FIND_VPC, DESCRIBE]
    aws_server.forget_calls()
    db_02.check(route_tables_by=BY_VIP)
    assert operations(aws_server) == [DESCRIBE]
    aws_server.forget_calls()
    db_02.restore(route_tables_by=BY_VIP)  # as quick as if they were named: nobody is asked first
    assert operations(aws_server) == [REPLACE, REPLACE, DESCRIBE]


def test_a_vpc_that_is_named_is_not_asked_for(db_02: Node, account: Account, aws_server: AwsServer) -> None:
    db_02.check(route_tables_by=BY_VIP, vpc=account.world.vpc_id)
    assert operations(aws_server) == [DESCRIBE]


@pytest.mark.parametrize("by", [BY_VIP, BY_TAG])
def test_a_table_that_was_added_later_is_found_by_the_check_and_led_here(
    db_01: Node, db_02: Node, account: Account, by: str
) -> None:
    db_01.restore(route_tables_by=by)
    table = account.make_table()
    account.tag(table)
    account.route(table, db_02.interface)
    check = db_01.check(route_tables_by=by)
    assert (check.health, check.why) == (Health.FAILED, f"{table} points at {db_02.interface}")
    assert any(line.startswith("route tables by") and table in line for line in db_01.log)
    db_01.recover(route_tables_by=by)
    assert account.target(table) == db_01.interface
    assert db_01.check(route_tables_by=by).health is Health.OK


@pytest.mark.parametrize("by", [BY_VIP, BY_TAG])
def test_a_table_that_was_added_later_is_found_by_the_restore(
    db_02: Node, db_01: Node, account: Account, by: str
) -> None:
    db_02.check(route_tables_by=by)
    table = account.make_table()
    account.tag(table)
    account.route(table, db_01.interface)
    db_02.restore(route_tables_by=by)
    assert account.target(table) == db_02.interface


@pytest.mark.parametrize("by", [BY_VIP, BY_TAG])
def test_a_route_that_somebody_deleted_is_missed_and_put_back(
    db_01: Node, account: Account, world: World, by: str
) -> None:
    db_01.restore(route_tables_by=by)
    account.delete_route(world.route_tables[1])
    check = db_01.check(route_tables_by=by)
    assert (check.health, check.why) == (Health.FAILED, f"{world.route_tables[1]} has no such route")
    db_01.recover(route_tables_by=by)
    assert account.target(world.route_tables[1]) == db_01.interface


def test_a_table_that_has_lost_its_tag_is_not_written_to(db_02: Node, account: Account, world: World) -> None:
    """This node found it long ago; since then it was given to somebody else."""
    db_02.check(route_tables_by=BY_TAG)
    account.untag(world.route_tables[1])
    account.delete_route(world.route_tables[1])
    db_02.restore(route_tables_by=BY_TAG)
    assert account.target(world.route_tables[1]) is None
    assert db_02.check(route_tables_by=BY_TAG).health is Health.OK


def test_a_table_that_is_gone_is_nobodys_failure(
    db_02: Node, account: Account, aws_server: AwsServer
) -> None:
    table = account.make_table()
    account.route(table, db_02.interface)
    db_02.check(route_tables_by=BY_VIP)
    with closing(aws_server.ec2()) as client:
        client.delete_route_table(RouteTableId=table)
    db_02.restore(route_tables_by=BY_VIP)
    assert db_02.check(route_tables_by=BY_VIP).health is Health.OK


@pytest.mark.parametrize("fault", [throttle(DESCRIBE), Rule(operation=DESCRIBE, fault="drop-before")])
@pytest.mark.parametrize("by", [BY_VIP, BY_TAG])
def test_a_restore_that_aws_does_not_tell_the_tables_moves_those_found_last(
    db_02: Node, account: Account, aws_server: AwsServer, world: World, by: str, fault: Rule
) -> None:
    db_02.check(route_tables_by=by)
    aws_server.control.set_faults(fault)
    with pytest.raises(Unanswered, match="couldn't be read back"):
        db_02.restore(route_tables_by=by)
    aws_server.control.set_faults()
    assert targets(aws_server, world) == [db_02.interface] * 2


def test_without_an_answer_no_route_is_created_in_a_table_found_long_ago(
    db_02: Node, account: Account, aws_server: AwsServer, world: World
) -> None:
    db_02.check(route_tables_by=BY_VIP)
    account.delete_route(world.route_tables[1])
    aws_server.control.set_faults(throttle(DESCRIBE))
    with pytest.raises(Unanswered):
        db_02.restore(route_tables_by=BY_VIP)
    assert CREATE not in operations(aws_server)


def test_a_table_gone_since_it_was_found_proves_nothing_while_aws_does_not_tell(
    db_02: Node, account: Account, aws_server: AwsServer
) -> None:
    table = account.make_table()
    account.route(table, db_02.interface)
    db_02.check(route_tables_by=BY_VIP)
    with closing(aws_server.ec2()) as client:
        client.delete_route_table(RouteTableId=table)
    aws_server.control.set_faults(throttle(DESCRIBE))
    with pytest.raises(Unanswered):
        db_02.restore(route_tables_by=BY_VIP)


@pytest.mark.parametrize("operation", [DESCRIBE, FIND_VPC])
def test_nobody_can_tell_when_nothing_is_known_and_nothing_is_answered(
    db_02: Node, account: Account, aws_server: AwsServer, operation: str
) -> None:
    aws_server.control.set_faults(throttle(operation))
    with pytest.raises(Unanswered, match="RequestLimitExceeded"):
        db_02.restore(route_tables_by=BY_VIP)
    assert db_02.check(route_tables_by=BY_VIP).health is Health.UNKNOWN
    assert REPLACE not in operations(aws_server)


@pytest.mark.parametrize(
    ("by", "problem", "remedy"),
    [
        (BY_VIP, "has a route to 10.1.0.10/32", "aws ec2 create-route --route-table-id rtb-… --dest"),
        (BY_TAG, "has the tag cluster=garoon", "aws ec2 create-tags --resources rtb-… --tags Key=cluster,V"),
    ],
)
def test_to_find_no_table_is_a_failure_that_says_what_to_do(
    db_02: Node, account: Account, world: World, by: str, problem: str, remedy: str
) -> None:
    for table in world.route_tables:
        account.untag(table)
        account.delete_route(table)
    (finding,) = db_02.validate(route_tables_by=by)
    assert finding.problem == f"no route table of {world.vpc_id} {problem}"
    assert remedy in finding.remedy
    with pytest.raises(KitError) as caught:
        db_02.restore(route_tables_by=by)
    assert not isinstance(caught.value, Unanswered)
    assert finding.problem in str(caught.value)
    assert finding.remedy in str(caught.value)
    assert db_02.check(route_tables_by=by).health is Health.FAILED


def test_validate_finds_nothing_and_keeps_nothing(db_02: Node, account: Account) -> None:
    assert list(db_02.validate(route_tables_by=BY_VIP)) == []
    assert not db_02.memory.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"of": 7}',
        b'{"of": "vip 10.1.0.10/32 None", "tables": ["; rm -rf /"]}',
        b'{"of": "vip 10.7.7.7/32 None", "interface": "eni-1", "vpc": "vpc-1", "tables": []}',
        b" " * (LONGEST_FILE + 1),
    ],
)
def test_a_memory_that_is_damaged_or_anothers_counts_as_none(
    db_02: Node, account: Account, aws_server: AwsServer, world: World, content: bytes
) -> None:
    db_02.memory.parent.mkdir(parents=True)
    db_02.memory.write_bytes(content)
    db_02.restore(route_tables_by=BY_VIP)
    assert targets(aws_server, world) == [db_02.interface] * 2
    assert world.route_tables[0] in db_02.memory.read_text()


def test_a_disk_that_takes_nothing_keeps_no_route_from_being_moved(
    db_02: Node, account: Account, aws_server: AwsServer, world: World
) -> None:
    db_02.memory.parent.parent.mkdir()
    db_02.memory.parent.write_text("a file where there should be a folder")
    db_02.restore(route_tables_by=BY_VIP)
    assert targets(aws_server, world) == [db_02.interface] * 2
    assert any("won't be known after a restart" in line for line in db_02.log)


def test_a_disk_that_hangs_keeps_no_route_from_being_moved(
    db_02: Node, account: Account, aws_server: AwsServer, world: World
) -> None:
    db_02.memory.parent.mkdir(parents=True)
    os.mkfifo(db_02.memory)  # opening it hangs until there is a writer
    fifo = db_02.memory.with_suffix(".fifo")
    os.link(db_02.memory, fifo)  # what is found is written in its place
    try:
        db_02.restore(route_tables_by=BY_VIP)
        assert targets(aws_server, world) == [db_02.interface] * 2
        assert any("are forgotten" in line for line in db_02.log)
    finally:
        os.close(os.open(fifo, os.O_RDWR))  # let the thread go
