"""What the kit promises while AWS doesn't work, and of a node whose authority is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.transit_gateway_route import TransitGatewayRouteKit
from recovery_kits.transit_gateway_route import kit as kit_module
from recovery_kits.transit_gateway_route.routes import Route
from tests.aws_server import AwsServer, Rule, throttle
from tests.aws_server.faults import Fault
from tests.aws_server.fixtures import KEY
from tests.kits.acting import CALL, Agent, Brief
from tests.kits.transit_gateway_route.harness import DESTINATION, Gateway, Node
from tests.kits.troubles import broken, name_of, unauthorized
from tests.runtime.waiting import wait_until

REPLACE, CREATE = "ec2:ReplaceTransitGatewayRoute", "ec2:CreateTransitGatewayRoute"
SEARCH = "ec2:SearchTransitGatewayRoutes"


@pytest.fixture
def read_timeout_ms() -> int:
    """Short, so that a call that hangs once is done with soon."""
    return 400


@pytest.mark.parametrize(
    "rule",
    [
        throttle(REPLACE, left=2),
        throttle(CREATE, left=2),
        throttle(SEARCH, left=2),
        broken(CREATE, left=1),
        Rule(operation=CREATE, fault="drop-before", left=2),
        Rule(operation=CREATE, fault="drop-after", left=2),  # then the second try is to replace it
        Rule(operation=REPLACE, fault="hang", left=1),
        Rule(operation=SEARCH, fault="drop-before", left=1),
    ],
    ids=name_of,
)
def test_restore_succeeds_in_spite_of(db_01: Node, gateway: Gateway, rule: Rule) -> None:
    gateway.server.control.set_faults(rule)
    db_01.restore()
    gateway.server.control.set_faults()
    assert gateway.leads_to() == [db_01.attachment] * 2


def test_changes_that_were_made_count_though_no_answer_ever_comes(
    db_01: Node, db_02: Node, gateway: Gateway
) -> None:
    db_01.restore()
    gateway.server.control.set_faults(Rule(operation=REPLACE, fault="drop-after"))
    db_02.restore()
    assert gateway.leads_to() == [db_02.attachment] * 2


@pytest.mark.parametrize(
    "rule",
    [
        throttle(REPLACE),
        throttle(SEARCH),
        broken(CREATE),
        Rule(operation=REPLACE, fault="hang"),
        Rule(operation=SEARCH, fault="hang"),
        unauthorized(SEARCH),  # the changes were accepted; only reading back is refused
        Rule(fault="hang"),
    ],
    ids=name_of,
)
def test_nobody_can_tell_whether_restore_worked_after(
    db_01: Node, gateway: Gateway, hasty: Agent, rule: Rule
) -> None:
    gateway.server.control.set_faults(rule)
    for _ in range(2):
        with pytest.raises(Unanswered, match="transit: restore: tgw-rtb-"):
            replace(db_01, agent=hasty).restore()
    gateway.server.control.set_faults()
    db_01.restore()


def test_restore_fails_and_tells_which_permission_is_missing(db_01: Node, gateway: Gateway) -> None:
    gateway.server.control.set_faults(unauthorized(REPLACE))
    with pytest.raises(KitError, match="give the node's role ec2:ReplaceTransitGatewayRoute") as caught:
        db_01.restore()
    assert not isinstance(caught.value, Unanswered)
    assert gateway.operations().count(CREATE) == 0


def test_a_throttled_table_keeps_no_other_from_being_changed(db_01: Node, gateway: Gateway) -> None:
    first, second = gateway.tables
    gateway.server.control.set_faults(throttle(REPLACE, body=first))
    with pytest.raises(Unanswered) as caught:
        db_01.restore()
    assert second not in str(caught.value)
    gateway.server.control.set_faults()
    assert gateway.leads_to() == [None, db_01.attachment]


@pytest.mark.parametrize(
    "rule",
    [
        throttle(SEARCH),
        broken(SEARCH),
        unauthorized(SEARCH),
        Rule(operation=SEARCH, fault="hang"),
        Rule(operation=SEARCH, fault="drop-before"),
    ],
    ids=name_of,
)
def test_a_check_that_is_not_answered_is_unknown(db_01: Node, gateway: Gateway, rule: Rule) -> None:
    db_01.restore()
    gateway.server.forget_calls()
    gateway.server.control.set_faults(rule)
    check = db_01.check()
    assert check.health is Health.UNKNOWN
    assert "SearchTransitGatewayRoutes: " in check.why
    assert len(gateway.operations()) == 2


def test_one_table_seen_wrong_is_a_failure_though_another_is_not_answered(
    db_01: Node, gateway: Gateway
) -> None:
    first, second = gateway.tables
    gateway.server.control.set_faults(throttle(SEARCH, body=first))
    check = db_01.check()
    assert (check.health, check.why) == (
        Health.FAILED,
        f"{second} has no static route to the destination",
    )


@pytest.mark.parametrize("before", ["static", "of another attachment"])
def test_a_blackhole_that_nobody_answered_about_is_no_failure(
    db_01: Node, db_02: Node, gateway: Gateway, before: str
) -> None:
    """It is what the takeover is to mend: it says nothing of whether that works."""
    db_02.restore()
    if before == "static":
        for table in gateway.tables:
            gateway.client.replace_transit_gateway_route(
                TransitGatewayRouteTableId=table, DestinationCidrBlock=DESTINATION, Blackhole=True
            )
    else:
        gateway.client.delete_transit_gateway_vpc_attachment(TransitGatewayAttachmentId=db_02.attachment)
    gateway.server.control.set_faults(throttle(REPLACE))
    with pytest.raises(Unanswered, match="RequestLimitExceeded"):
        db_01.restore()
    gateway.server.control.set_faults()
    db_01.restore()
    assert gateway.leads_to() == [db_01.attachment] * 2


def test_a_blackhole_that_is_seen_after_the_change_may_be_an_old_reading(
    db_01: Node, gateway: Gateway
) -> None:
    for table in gateway.tables:
        gateway.client.create_transit_gateway_route(
            TransitGatewayRouteTableId=table, DestinationCidrBlock=DESTINATION, Blackhole=True
        )
    assert db_01.check().health is Health.FAILED
    gateway.server.control.mark()
    gateway.server.control.set_faults(Rule(operation=SEARCH, fault="stale", left=2))
    db_01.restore()
    assert gateway.leads_to() == [db_01.attachment] * 2


def test_an_attachment_that_is_gone_is_a_failure_at_once(db_01: Node, gateway: Gateway) -> None:
    db_01.restore()
    gateway.client.delete_transit_gateway_vpc_attachment(TransitGatewayAttachmentId=db_01.attachment)
    gateway.server.control.set_faults(throttle(REPLACE))
    with pytest.raises(KitError, match=f"is a blackhole: {db_01.attachment} is gone") as caught:
        db_01.restore()
    assert not isinstance(caught.value, Unanswered)


def pending(node: Node, monkeypatch: pytest.MonkeyPatch, looks: int) -> TransitGatewayRouteKit:
    """A kit of one table, whose route here is pending for so many looks; with no waits between them."""
    monkeypatch.setattr(kit_module, "SETTLE_S", (0.0,) * len(kit_module.SETTLE_S))
    kit, left = node.kit(route_tables=node.gateway.tables[:1]), iter(range(looks))

    async def look(table: str) -> Route | None:
        assert table == node.gateway.tables[0]
        return Route((node.attachment,), "active" if next(left, None) is None else "pending")

    kit._look = look  # type: ignore[method-assign]
    return kit


def test_a_pending_route_is_waited_for(db_01: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    db_01.do(pending(db_01, monkeypatch, len(kit_module.SETTLE_S) - 1).restore())


def test_a_route_that_stays_pending_is_unknown(db_01: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = pending(db_01, monkeypatch, len(kit_module.SETTLE_S) + 1)
    with pytest.raises(Unanswered, match="is pending"):
        db_01.do(kit.restore())
    assert db_01.do(kit.quick_check()).health is Health.UNKNOWN
    assert db_01.do(kit.quick_check()).health is Health.OK


def test_a_change_that_is_refused_while_an_earlier_one_is_pending_is_unknown(
    db_01: Node, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Rule(operation="ec2:*Route", fault="error", status=400, code="IncorrectState")
    gateway.server.control.set_faults(refused)
    with pytest.raises(Unanswered, match=r"is pending; .*IncorrectState"):
        db_01.do(pending(db_01, monkeypatch, looks=1).restore())
    with pytest.raises(KitError, match="IncorrectState") as caught:
        db_01.restore()  # nothing is pending: it is a failure
    assert not isinstance(caught.value, Unanswered)


def test_a_restore_cut_short_is_finished_by_the_next(db_01: Node, gateway: Gateway) -> None:
    async def cut_short() -> None:
        await asyncio.wait_for(db_01.kit().restore(), 0.1)

    gateway.server.control.set_faults(Rule(operation=REPLACE, fault="hang", left=1))
    with pytest.raises(TimeoutError):
        db_01.do(cut_short())
    db_01.restore()
    assert gateway.leads_to() == [db_01.attachment] * 2


def test_as_another_accounts_role_it_does_all_but_see_where_this_node_is(
    db_01: Node, gateway: Gateway
) -> None:
    role = f"arn:aws:iam::123456789012:role/network-{gateway.id}"
    assert list(db_01.validate(role_arn=role)) == []
    db_01.restore(role_arn=role)
    assert db_01.check(role_arn=role).health is Health.OK
    as_itself = {call.operation for call in gateway.server.control.journal() if call.key == KEY}
    assert as_itself == {"sts:AssumeRole", "ec2:DescribeInstances", "ec2:DescribeSubnets"}


def test_a_missing_permission_is_found(db_01: Node, gateway: Gateway) -> None:
    gateway.server.control.set_faults(unauthorized(SEARCH))
    (finding,) = db_01.validate()
    assert finding.remedy == "give the node's role ec2:SearchTransitGatewayRoutes"


def test_remove_does_not_care_for_any_fault(db_01: Node, gateway: Gateway) -> None:
    faults: tuple[Fault, ...] = ("error", "hang", "drop-before", "drop-after")
    for fault in faults:
        gateway.server.control.set_faults(Rule(fault=fault))
        for _ in range(2):
            db_01.remove()
    assert gateway.operations() == []


def test_a_node_without_authority_changes_nothing(db_01: Node, gateway: Gateway) -> None:
    for action in (Node.restore, Node.recover, Node.reassert):
        with pytest.raises(Unanswered, match="authority over the hierarchy has run out"):
            action(replace(db_01, authority=Brief(0)))
    assert gateway.operations() == []


def test_authority_is_asked_before_each_change(db_01: Node, gateway: Gateway) -> None:
    """Here it lasts for the replacement that finds no route, and not for the creation after it."""
    with pytest.raises(Unanswered, match="CreateTransitGatewayRoute: NoAuthority"):
        replace(db_01, authority=Brief(CALL)).restore(route_tables=gateway.tables[:1])
    assert gateway.operations() == [REPLACE]
    assert gateway.leads_to() == [None, None]


def test_a_former_owners_change_that_lands_late_is_won_back(
    aws_server: AwsServer, agents: Callable[[int], Agent], gateway: Gateway
) -> None:
    """db-01's change is held on its way; db-02 takes over; then the change lands."""
    old = Node(agents(400), gateway, "db-01", Brief(CALL))
    db_02 = Node(agents(2_000), gateway, "db-02")
    db_02.restore()
    aws_server.control.set_faults(Rule(operation=REPLACE, fault="late", left=1))
    try:
        with pytest.raises(Unanswered, match="NoAuthority"):
            old.restore(route_tables=gateway.tables[:1])
        db_02.restore()
        assert gateway.leads_to() == [db_02.attachment] * 2
    finally:
        aws_server.control.release_late()
    old.do(old.agent.until_idle())
    wait_until(lambda: gateway.leads_to() == [old.attachment, db_02.attachment])
    assert db_02.check().health is Health.FAILED
    db_02.reassert()
    assert gateway.leads_to() == [db_02.attachment] * 2
    assert db_02.check().health is Health.OK
