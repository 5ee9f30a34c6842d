"""What the route kit calls is what its permissions name, on exactly these things."""

from __future__ import annotations

import asyncio
from fnmatch import fnmatchcase
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from agent.config.errors import BadParameter
from recovery_kits.contract import Permission, Site
from recovery_kits.route import RouteKit, RouteParameters
from recovery_kits.route.tables import PrefixListId
from tests.aws_server import AwsServer
from tests.kits.route.harness import Node, operations
from tests.kits.route.scripted import INTERFACE, TABLES, ScriptedAws, scripted_kit

ROLE = "arn:aws:iam::210987654321:role/kagemusha-routes"
ARN = "arn:{partition}:ec2:{region}:{account}:"
VIP = ip_network("10.1.0.10/32")


def permitted(parameters: RouteParameters) -> set[str]:
    return {action for each in RouteKit.permissions(parameters) for action in each.actions}


def for_action(action: str, **given: Any) -> Permission:
    parameters = RouteParameters(**({"destination": VIP} | given))
    (permission,) = (each for each in RouteKit.permissions(parameters) if action in each.actions)
    return permission


@pytest.mark.parametrize(
    "changes",
    [{}, {"route_tables_by": "vip"}, {"repair_source_dest_check": True}],
    ids=["named", "found", "repaired"],
)
def test_what_it_calls_is_what_its_permissions_name(
    db_02: Node, aws_server: AwsServer, changes: dict[str, Any]
) -> None:
    new = ip_network("10.3.0.0/24")  # so that a route has to be created
    db_02.restore(destination=new)
    for action in (db_02.validate, db_02.restore, db_02.check, db_02.recover, db_02.reassert, db_02.remove):
        action(destination=new, **changes)
    assert set(operations(aws_server)) == permitted(db_02.kit(**changes).parameters)


def test_a_prefix_list_is_looked_at_as_well(tmp_path: Path) -> None:
    aws, wanted = ScriptedAws("pl-01234567"), PrefixListId("pl-01234567")
    parameters = RouteParameters(destination=wanted, route_tables=TABLES, interface=INTERFACE)
    kit = scripted_kit(aws, parameters, Site(state_dir=tmp_path))
    for action in (kit.validate, kit.restore, kit.quick_check):
        asyncio.run(action())
    called = {"ec2:" + "".join(map(str.capitalize, each.split("_"))) for each in aws.called}
    assert called == permitted(parameters)


def test_tables_that_are_named_are_the_only_ones() -> None:
    move = for_action("ec2:ReplaceRoute", route_tables=TABLES)
    assert move.resources == tuple(f"{ARN}route-table/{table}" for table in TABLES)
    assert move.conditions == {}


def test_tables_that_are_found_are_those_of_the_tag_and_the_vpc() -> None:
    by_tag = for_action("ec2:CreateRoute", route_tables_by="tag:cluster=garoon", vpc="vpc-00000000")
    assert by_tag.resources == (f"{ARN}route-table/*",)
    assert by_tag.conditions == {
        "StringEquals": {"ec2:ResourceTag/cluster": "garoon"},
        "ArnLike": {"ec2:Vpc": "arn:*:ec2:*:*:vpc/vpc-00000000"},
    }
    assert for_action("ec2:CreateRoute", route_tables_by="vip").conditions == {}


def test_another_accounts_tables_need_the_right_to_assume_its_role_alone() -> None:
    parameters = RouteParameters(destination=VIP, route_tables=TABLES, role_arn=ROLE)
    assert permitted(parameters) == {"sts:AssumeRole", "ec2:DescribeNetworkInterfaces"}
    assert for_action("sts:AssumeRole", route_tables=TABLES, role_arn=ROLE).resources == (ROLE,)


def test_an_interface_is_repaired_alone_where_it_is_named() -> None:
    action = "ec2:ModifyNetworkInterfaceAttribute"
    named = for_action(action, route_tables=TABLES, repair_source_dest_check=True, interface=INTERFACE)
    assert named.resources == (f"{ARN}network-interface/{INTERFACE}",)
    by_device = for_action(action, route_tables=TABLES, repair_source_dest_check=True)
    assert fnmatchcase(named.resources[0], by_device.resources[0])


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "route_tables: name each table"),
        ({"route_tables": TABLES, "route_tables_by": "vip"}, "route_tables_by: name the tables or have"),
        ({"route_tables": TABLES, "vpc": "vpc-00000000"}, "vpc: goes with route_tables_by"),
        ({"route_tables": (TABLES[0], TABLES[0])}, f"route_tables: name {TABLES[0]} once"),
    ],
)
def test_what_can_not_be_meant_is_refused(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadParameter, match=complaint):
        RouteParameters(destination=VIP, **given)
