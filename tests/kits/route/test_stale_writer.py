"""A node whose authority is over changes no route; what it sent before that is won back.

EC2 applies whatever arrives, in the order in which it arrives: a former owner's change may be the last.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Literal

import pytest

from agent.core.hierarchy import REASSERT_AFTER_MS
from agent.core.states import Health
from recovery_kits.contract import Unanswered
from recovery_kits.route import RouteKit
from tests.aws_server import AwsServer, Rule, World, throttle
from tests.kits.acting import CALL, Agent, Brief
from tests.kits.route.harness import Node, operations, targets
from tests.runtime.waiting import wait_until

REPLACE, DESCRIBE = "ec2:ReplaceRoute", "ec2:DescribeRouteTables"


@pytest.fixture
def old_agent(aws_server: AwsServer, agents: Callable[[int], Agent]) -> Agent:
    """The former owner's: not the new one's, and soon out of patience."""
    return agents(400)


@pytest.mark.parametrize("action", [Node.restore, Node.recover, Node.reassert])
def test_a_node_without_authority_calls_nothing_and_tells_that_it_does_not_know(
    agent: Agent, aws_server: AwsServer, world: World, action: Callable[[Node], None]
) -> None:
    node = Node(agent, world, "db-02", Brief(0))
    for _ in range(2):
        with pytest.raises(Unanswered, match="authority over the hierarchy has run out"):
            action(node)
    assert operations(aws_server) == []


def test_authority_is_asked_before_each_change(agent: Agent, aws_server: AwsServer, world: World) -> None:
    """Here it lasts for the ReplaceRoute that finds no route, and not for the CreateRoute after it."""
    node = Node(agent, world, "db-02", Brief(CALL))
    with pytest.raises(Unanswered, match="CreateRoute: NoAuthority"):
        node.restore(destination=ip_network("10.3.0.0/24"), route_tables=world.route_tables[:1])
    assert operations(aws_server) == [REPLACE]
    assert targets(aws_server, world, "10.3.0.0/24") == [None, None]


def test_a_change_that_was_throttled_is_not_tried_again_without_authority(
    agent: Agent, aws_server: AwsServer, world: World
) -> None:
    aws_server.control.set_faults(throttle(REPLACE, left=1))
    with pytest.raises(Unanswered, match="NoAuthority"):
        Node(agent, world, "db-02", Brief(CALL)).restore(route_tables=world.route_tables[:1])
    assert operations(aws_server) == [REPLACE]


def test_a_check_needs_no_authority(agent: Agent, world: World) -> None:
    assert Node(agent, world, "db-01", Brief(0)).check().health is Health.OK


def test_to_reassert_is_to_write_and_then_to_read(db_01: Node, aws_server: AwsServer) -> None:
    """Though the routes lead here as far as can be read."""
    assert RouteKit.reasserts
    for _ in range(2):
        db_01.reassert()
    assert operations(aws_server) == [REPLACE, REPLACE, DESCRIBE] * 2


@pytest.mark.parametrize("held", ["in its thread", "on its way"])
def test_a_former_owners_change_that_lands_late_is_won_back(
    old_agent: Agent,
    db_02: Node,
    aws_server: AwsServer,
    world: World,
    held: Literal["in its thread", "on its way"],
) -> None:
    """db-01 passes its last check, and its change is held; db-02 takes over; then the change lands."""
    last_yes = Brief(CALL, frozen=held == "in its thread")
    db_01 = Node(old_agent, world, "db-01", last_yes)
    if held == "on its way":
        aws_server.control.set_faults(Rule(operation=REPLACE, fault="late", left=1))
    try:
        with pytest.raises(Unanswered, match="NoAuthority"):  # the second try, for the first hasn't ended
            db_01.restore(route_tables=world.route_tables[:1])
        db_02.restore()
        assert targets(aws_server, world) == [db_02.interface] * 2
    finally:
        last_yes.thawed.set()
        aws_server.control.release_late()
    old_agent.runner.run(old_agent.until_idle())
    wait_until(lambda: targets(aws_server, world) == [db_01.interface, db_02.interface])
    check = db_02.check()
    assert check.health is Health.FAILED
    assert check.why == f"{world.route_tables[0]} points at {db_01.interface}"
    for _ in REASSERT_AFTER_MS:
        db_02.reassert()
        assert targets(aws_server, world) == [db_02.interface] * 2
    assert db_02.check().health is Health.OK
