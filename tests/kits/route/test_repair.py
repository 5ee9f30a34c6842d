"""The ENI's source/dest check, turned off beside the routes where that is wished."""

from __future__ import annotations

from contextlib import closing

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from tests.aws_server import AwsServer, Rule, World, throttle
from tests.kits.route.harness import Node, operations, targets

MODIFY, LOOK = "ec2:ModifyNetworkInterfaceAttribute", "ec2:DescribeNetworkInterfaces"
NOT_PERMITTED = Rule(operation=MODIFY, fault="error", status=403, code="UnauthorizedOperation")


@pytest.fixture
def read_timeout_ms() -> int:
    """Short, so that a call that hangs three times is done with soon."""
    return 400


def drops_packets(server: AwsServer, interface: str) -> bool:
    with closing(server.ec2()) as client:
        (eni,) = client.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
    return eni["SourceDestCheck"]


def turn_on(server: AwsServer, interface: str) -> None:
    with closing(server.ec2()) as client:
        client.modify_network_interface_attribute(
            NetworkInterfaceId=interface, SourceDestCheck={"Value": True}
        )
    server.forget_calls()


def test_it_is_turned_off_when_wished_and_again_is_success(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    turn_on(aws_server, db_02.interface)
    assert list(db_02.validate(repair_source_dest_check=True)) == []
    for _ in range(2):
        db_02.restore(repair_source_dest_check=True)
        assert not drops_packets(aws_server, db_02.interface)
        assert targets(aws_server, world) == [db_02.interface] * 2


def test_it_is_left_alone_unless_wished(db_02: Node, aws_server: AwsServer) -> None:
    turn_on(aws_server, db_02.interface)
    db_02.restore()
    assert drops_packets(aws_server, db_02.interface)
    aws_server.forget_calls()
    db_02.reassert(repair_source_dest_check=True)  # it is the routes that a former owner's call may undo
    assert MODIFY not in operations(aws_server)


@pytest.mark.parametrize(
    "rule",
    [
        throttle(MODIFY, left=2),
        Rule(operation=MODIFY, fault="drop-after"),
        Rule(operation=MODIFY, fault="hang", left=1),
    ],
)
def test_it_is_turned_off_in_spite_of(db_02: Node, aws_server: AwsServer, rule: Rule) -> None:
    turn_on(aws_server, db_02.interface)
    aws_server.control.set_faults(rule)
    db_02.restore(repair_source_dest_check=True)
    aws_server.control.set_faults()
    assert not drops_packets(aws_server, db_02.interface)


def test_routes_are_moved_and_what_is_not_permitted_is_told(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    turn_on(aws_server, db_02.interface)
    aws_server.control.set_faults(NOT_PERMITTED)
    with pytest.raises(KitError, match="ec2:ModifyNetworkInterfaceAttribute") as caught:
        db_02.restore(repair_source_dest_check=True)
    assert not isinstance(caught.value, Unanswered)
    assert targets(aws_server, world) == [db_02.interface] * 2


def test_what_is_off_already_needs_no_permission(db_02: Node, aws_server: AwsServer) -> None:
    aws_server.control.set_faults(NOT_PERMITTED)
    db_02.restore(repair_source_dest_check=True)


def test_routes_do_not_wait_for_it(db_02: Node, aws_server: AwsServer, world: World) -> None:
    turn_on(aws_server, db_02.interface)
    aws_server.control.set_faults(Rule(operation=MODIFY, fault="hang"))
    with pytest.raises(Unanswered, match="ModifyNetworkInterfaceAttribute"):
        db_02.restore(repair_source_dest_check=True)
    assert targets(aws_server, world) == [db_02.interface] * 2
    called = operations(aws_server)
    assert called.index("ec2:DescribeRouteTables") < called.index(LOOK)  # routes were done meanwhile


def test_both_are_told_where_both_fail(db_02: Node, aws_server: AwsServer, world: World) -> None:
    turn_on(aws_server, db_02.interface)
    aws_server.control.set_faults(NOT_PERMITTED, throttle("ec2:ReplaceRoute", body=world.route_tables[0]))
    with pytest.raises(KitError) as caught:
        db_02.restore(repair_source_dest_check=True)
    assert not isinstance(caught.value, Unanswered)
    assert f"{world.route_tables[0]}: ReplaceRoute: RequestLimitExceeded" in str(caught.value)
    assert "ec2:ModifyNetworkInterfaceAttribute" in str(caught.value)


def test_a_check_is_of_the_routes_alone(db_01: Node, aws_server: AwsServer) -> None:
    assert db_01.check(repair_source_dest_check=True).health is Health.OK
    assert operations(aws_server) == ["ec2:DescribeRouteTables"]
