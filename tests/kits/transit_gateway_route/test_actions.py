"""What the transit-gateway-route kit promises while AWS works."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from agent.config.errors import BadParameter
from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.transit_gateway_route import TransitGatewayRouteKit, TransitGatewayRouteParameters
from recovery_kits.transit_gateway_route.routes import Route, read_route, why_not
from tests.kits.transit_gateway_route.harness import DESTINATION, Gateway, Node

REPLACE, CREATE = "ec2:ReplaceTransitGatewayRoute", "ec2:CreateTransitGatewayRoute"
SEARCH = "ec2:SearchTransitGatewayRoutes"
OTHER_TABLE, OTHER_ATTACHMENT = "tgw-rtb-0123456789abcdef0", "tgw-attach-0123456789abcdef0"


def test_restore_creates_the_route_in_every_table_and_again_is_success(db_01: Node, gateway: Gateway) -> None:
    for _ in range(2):
        db_01.restore()
        assert gateway.leads_to() == [db_01.attachment] * 2
        assert db_01.check().health is Health.OK


def test_the_other_node_takes_the_routes_over(db_01: Node, db_02: Node, gateway: Gateway) -> None:
    db_01.restore()
    gateway.delete_route(gateway.tables[1])  # one to replace, one to create
    db_02.restore()
    assert gateway.leads_to() == [db_02.attachment] * 2
    assert db_02.check().health is Health.OK


def test_to_reassert_is_to_write_and_then_to_read(db_01: Node, gateway: Gateway) -> None:
    """Though the routes lead here as far as can be read."""
    assert TransitGatewayRouteKit.reasserts
    db_01.restore()
    gateway.server.forget_calls()
    db_01.reassert()
    assert sorted(gateway.operations()) == [REPLACE] * 2 + [SEARCH] * 2


def test_each_table_may_have_an_attachment_of_its_own(db_01: Node, gateway: Gateway) -> None:
    both = (gateway.attachments["db-01"], gateway.attachments["db-02"])
    db_01.restore(attachments=both)
    assert gateway.leads_to() == list(both)
    assert db_01.check(attachments=both).health is Health.OK


def test_an_ipv6_destination_is_routed(db_01: Node, gateway: Gateway) -> None:
    destination = ip_network("FD00:0:0:0::10/128")
    for _ in range(2):
        db_01.restore(destination=destination)
        assert db_01.check(destination=destination).health is Health.OK
    assert gateway.leads_to("fd00::10/128") == [db_01.attachment] * 2
    assert gateway.leads_to() == [None, None]


def test_remove_calls_nothing_and_leaves_the_routes(db_01: Node, gateway: Gateway) -> None:
    db_01.restore()
    gateway.server.forget_calls()
    for _ in range(2):
        db_01.remove()
    assert gateway.operations() == []
    assert gateway.leads_to() == [db_01.attachment] * 2


def test_drift_is_seen_and_put_back(db_01: Node, db_02: Node, gateway: Gateway) -> None:
    first, second = gateway.tables
    db_01.restore()
    db_02.restore(route_tables=(first,))
    gateway.delete_route(second)
    check = db_01.check()
    assert check.health is Health.FAILED
    assert check.why == (
        f"{first} leads to {db_02.attachment}; {second} has no static route to the destination"
    )
    db_01.recover()
    assert gateway.leads_to() == [db_01.attachment] * 2
    assert db_01.check().health is Health.OK


def test_a_check_is_one_call_for_each_table(db_01: Node, gateway: Gateway) -> None:
    db_01.restore()
    gateway.server.forget_calls()
    for _ in range(2):
        assert db_01.check().health is Health.OK
    assert gateway.operations() == [SEARCH] * 4
    assert TransitGatewayRouteKit.default_check_interval_ms == 30_000


def test_a_blackhole_is_a_failure(db_01: Node, gateway: Gateway) -> None:
    db_01.restore()
    gateway.client.delete_transit_gateway_vpc_attachment(TransitGatewayAttachmentId=db_01.attachment)
    check = db_01.check()
    assert check.health is Health.FAILED
    assert "is a blackhole" in check.why


def test_a_static_blackhole_is_a_failure_and_replaced(db_01: Node, gateway: Gateway) -> None:
    for table in gateway.tables:
        gateway.client.create_transit_gateway_route(
            TransitGatewayRouteTableId=table, DestinationCidrBlock=DESTINATION, Blackhole=True
        )
    check = db_01.check()
    assert check.health is Health.FAILED
    assert "drops the packets" in check.why
    db_01.recover()
    assert db_01.check().health is Health.OK


def test_a_table_that_fails_is_named_and_the_others_are_changed(db_01: Node, gateway: Gateway) -> None:
    with pytest.raises(KitError) as caught:
        db_01.restore(route_tables=(OTHER_TABLE, *gateway.tables))
    assert not isinstance(caught.value, Unanswered)
    assert f"restore: {OTHER_TABLE}: CreateTransitGatewayRoute: InvalidRouteTableID.NotFound" in str(
        caught.value
    )
    assert all(table not in str(caught.value) for table in gateway.tables)
    assert gateway.leads_to() == [db_01.attachment] * 2
    assert db_01.check(route_tables=(OTHER_TABLE, *gateway.tables)).health is Health.FAILED


def test_an_attachment_that_does_not_exist_is_a_failure_and_moves_nothing(
    db_01: Node, gateway: Gateway
) -> None:
    db_01.restore()
    with pytest.raises(KitError, match=r"InvalidTransitGatewayAttachmentID\.NotFound") as caught:
        db_01.restore(attachments=(OTHER_ATTACHMENT,))
    assert not isinstance(caught.value, Unanswered)
    assert gateway.leads_to() == [db_01.attachment] * 2


def listed(state: str, *attachments: str) -> dict[str, Any]:
    leads_to = [{"TransitGatewayAttachmentId": each} for each in attachments]
    return {"Routes": [{"State": state, "TransitGatewayAttachments": leads_to}]}


def test_a_route_on_its_way_out_is_none() -> None:
    for state in ("deleting", "deleted"):
        assert read_route(listed(state, OTHER_ATTACHMENT)) is None


def test_a_pending_route_is_no_failure_and_no_success() -> None:
    route = read_route(listed("pending", OTHER_ATTACHMENT))
    assert route == Route((OTHER_ATTACHMENT,), "pending")
    assert why_not(route, OTHER_ATTACHMENT) == "is pending"


def test_nothing_is_found_where_all_is_well(db_01: Node) -> None:
    assert list(db_01.validate()) == []


def test_missing_tables_and_attachments_are_found(db_01: Node, gateway: Gateway) -> None:
    problems = [
        each.problem
        for each in db_01.validate(
            route_tables=(*gateway.tables, OTHER_TABLE), attachments=(OTHER_ATTACHMENT,)
        )
    ]
    assert problems == [
        f"transit gateway route table {OTHER_TABLE} doesn't exist in this region",
        f"VPC attachment {OTHER_ATTACHMENT} doesn't exist in this region",
    ]


def test_a_table_of_another_transit_gateway_is_found(db_01: Node, gateway: Gateway) -> None:
    other = gateway.client.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    table = gateway.table(other)
    (finding,) = db_01.validate(route_tables=(*gateway.tables, table))
    assert finding.problem == f"{table} belongs to {other}, but {db_01.attachment} to {gateway.id}"


def test_another_vpcs_attachment_is_found(db_01: Node, gateway: Gateway) -> None:
    (finding,) = db_01.validate(attachments=(gateway.attachments["db-02"],))
    assert f"but this node is in {gateway.world.vpc_id}" in finding.problem


def test_an_attachment_without_a_subnet_in_the_nodes_zone_is_found(db_02: Node, gateway: Gateway) -> None:
    """db-02's instance is in the world's VPC, in zone c; that VPC's attachment has a subnet in zone a."""
    (finding,) = db_02.validate(attachments=(gateway.attachments["db-01"],))
    assert "has no subnet in ap-northeast-1c" in finding.problem
    assert "--add-subnet-ids" in finding.remedy


def test_the_permissions_are_exactly_what_is_called(db_01: Node, gateway: Gateway) -> None:
    db_01.restore()
    db_01.check()
    db_01.validate()
    kit = db_01.kit()
    needed = kit.permissions(kit.parameters)
    assert set(gateway.operations()) == {action for each in needed for action in each.actions}
    moves, looks, _everywhere = needed
    start = "arn:{partition}:ec2:{region}:{account}:transit-gateway-"
    assert looks.resources == tuple(f"{start}route-table/{each}" for each in gateway.tables)
    assert moves.resources == (*looks.resources, f"{start}attachment/{db_01.attachment}")


def test_with_a_role_only_that_role_changes_routes(db_01: Node) -> None:
    role = "arn:aws:iam::123456789012:role/network"
    kit = db_01.kit(role_arn=role)
    actions = {each.actions: each.resources for each in kit.permissions(kit.parameters)}
    assert actions == {
        ("ec2:DescribeInstances", "ec2:DescribeSubnets"): ("*",),
        ("sts:AssumeRole",): (role,),
    }


@pytest.mark.parametrize(
    ("tables", "attachments", "says"),
    [
        (
            (OTHER_TABLE, OTHER_TABLE),
            (OTHER_ATTACHMENT,),
            f"route_tables: name {OTHER_TABLE} once",
        ),
        ((OTHER_TABLE,), (OTHER_ATTACHMENT,) * 2, "attachments: name one, or 1"),
    ],
)
def test_what_cannot_be_is_refused(tables: tuple[str, ...], attachments: tuple[str, ...], says: str) -> None:
    with pytest.raises(BadParameter, match=says):
        TransitGatewayRouteParameters(
            destination=ip_network(DESTINATION), route_tables=tables, attachments=attachments
        )
