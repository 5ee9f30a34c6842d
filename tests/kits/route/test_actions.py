"""What the route kit promises while AWS works."""

from __future__ import annotations

from contextlib import closing
from ipaddress import ip_network

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.route import RouteKit
from tests.aws_server import AwsServer, World
from tests.kits.route.harness import Node, operations, targets

OTHER_TABLE = "rtb-0123456789abcdef0"
OTHER_INTERFACE = "eni-0123456789abcdef0"


def delete_route(server: AwsServer, world: World, table: str) -> None:
    with closing(server.ec2()) as client:
        client.delete_route(RouteTableId=table, DestinationCidrBlock=world.destination)


def test_restore_leads_every_table_here_and_again_is_success(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    for _ in range(2):
        db_02.restore()
        assert targets(aws_server, world) == [db_02.interface] * 2
        assert db_02.check().health is Health.OK


def test_a_missing_route_is_created(db_02: Node, aws_server: AwsServer, world: World) -> None:
    delete_route(aws_server, world, world.route_tables[1])
    for _ in range(2):
        db_02.restore()
        assert targets(aws_server, world) == [db_02.interface] * 2


def test_an_ipv6_destination_is_routed_however_it_is_spelt(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    destination = ip_network("FD00:0:0:0::10/128")
    for _ in range(2):
        db_02.restore(destination=destination)
        assert db_02.check(destination=destination).health is Health.OK
    assert targets(aws_server, world, "fd00::10/128") == [db_02.interface] * 2
    assert targets(aws_server, world) != [db_02.interface] * 2  # the IPv4 routes are another resource's


def test_a_prefix_is_routed(db_02: Node, aws_server: AwsServer, world: World) -> None:
    db_02.restore(destination=ip_network("10.2.0.0/24"))
    assert targets(aws_server, world, "10.2.0.0/24") == [db_02.interface] * 2


def test_remove_calls_nothing_and_leaves_the_route(db_01: Node, aws_server: AwsServer, world: World) -> None:
    db_01.restore()
    aws_server.forget_calls()
    for _ in range(2):
        db_01.remove()
    assert aws_server.control.journal() == []
    assert targets(aws_server, world) == [db_01.interface] * 2


def test_recover_takes_a_stolen_route_back(
    db_01: Node, db_02: Node, aws_server: AwsServer, world: World
) -> None:
    db_02.restore(route_tables=world.route_tables[:1])
    assert db_01.check().health is Health.FAILED
    for _ in range(2):
        db_01.recover()
        assert targets(aws_server, world) == [db_01.interface] * 2
        assert db_01.check().health is Health.OK


def test_all_tables_are_changed_before_one_reading_back(db_02: Node, aws_server: AwsServer) -> None:
    db_02.restore()
    assert operations(aws_server) == ["ec2:ReplaceRoute", "ec2:ReplaceRoute", "ec2:DescribeRouteTables"]


def test_a_check_is_one_call_for_all_tables(db_01: Node, aws_server: AwsServer) -> None:
    for _ in range(2):
        assert db_01.check().health is Health.OK
    assert operations(aws_server) == ["ec2:DescribeRouteTables"] * 2
    assert RouteKit.default_check_interval_ms == 30_000


def test_a_check_names_the_tables_that_lead_elsewhere_and_whither(
    db_01: Node, db_02: Node, world: World
) -> None:
    db_02.restore(route_tables=world.route_tables[1:])
    check = db_01.check()
    assert check.health is Health.FAILED
    assert check.why == f"{world.route_tables[1]} points at {db_02.interface}"
    assert db_02.check().why == f"{world.route_tables[0]} points at {db_01.interface}"


def test_a_check_names_missing_routes_and_tables(db_01: Node, aws_server: AwsServer, world: World) -> None:
    delete_route(aws_server, world, world.route_tables[0])
    check = db_01.check(route_tables=(*world.route_tables, OTHER_TABLE))
    assert check.health is Health.FAILED
    assert check.why == f"{world.route_tables[0]} has no such route; {OTHER_TABLE} doesn't exist"


def test_a_check_finds_a_blackhole(db_01: Node, aws_server: AwsServer, world: World) -> None:
    with closing(aws_server.ec2()) as client:
        client.stop_instances(InstanceIds=[world.node("db-01").instance_id])
    check = db_01.check()
    assert check.health is Health.FAILED
    assert "blackhole" in check.why


def test_restore_into_a_blackhole_is_no_success(db_02: Node, aws_server: AwsServer, world: World) -> None:
    with closing(aws_server.ec2()) as client:
        client.stop_instances(InstanceIds=[world.node("db-02").instance_id])
    with pytest.raises(KitError, match="blackhole"):
        db_02.restore()


def test_a_table_that_fails_is_named_and_the_others_are_changed(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    with pytest.raises(KitError) as caught:
        db_02.restore(route_tables=(OTHER_TABLE, *world.route_tables))
    assert not isinstance(caught.value, Unanswered)
    assert str(caught.value).startswith(
        f"route-vip: restore: {OTHER_TABLE}: ReplaceRoute: InvalidRouteTableID.NotFound"
    )
    assert all(table not in str(caught.value) for table in world.route_tables)
    assert targets(aws_server, world) == [db_02.interface] * 2


def test_an_interface_that_does_not_exist_is_a_failure_and_moves_nothing(
    db_01: Node, aws_server: AwsServer, world: World
) -> None:
    with pytest.raises(KitError, match=r"InvalidNetworkInterfaceID\.NotFound") as caught:
        db_01.restore(interface=OTHER_INTERFACE)
    assert not isinstance(caught.value, Unanswered)
    assert targets(aws_server, world) == [db_01.interface] * 2


def test_nothing_is_found_where_all_is_well(db_01: Node) -> None:
    assert list(db_01.validate()) == []


def test_the_source_dest_check_is_found_with_the_command_that_mends_it(
    db_01: Node, aws_server: AwsServer
) -> None:
    with closing(aws_server.ec2()) as client:
        client.modify_network_interface_attribute(
            NetworkInterfaceId=db_01.interface, SourceDestCheck={"Value": True}
        )
    (finding,) = db_01.validate()
    assert "source/dest check is on" in finding.problem
    assert finding.remedy == (
        "aws ec2 modify-network-interface-attribute "
        f"--network-interface-id {db_01.interface} --no-source-dest-check"
    )


def test_a_missing_table_and_a_missing_interface_are_found(db_01: Node, world: World) -> None:
    tables = (*world.route_tables, OTHER_TABLE)
    problems = [each.problem for each in db_01.validate(route_tables=tables, interface=OTHER_INTERFACE)]
    assert problems == [
        f"route table {OTHER_TABLE} doesn't exist in this region",
        f"{OTHER_INTERFACE} doesn't exist in this region",
    ]


def test_a_table_of_another_vpc_is_found(db_01: Node, aws_server: AwsServer, world: World) -> None:
    with closing(aws_server.ec2()) as client:
        vpc = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
        table = client.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    (finding,) = db_01.validate(route_tables=(*world.route_tables, table))
    assert vpc in finding.problem
