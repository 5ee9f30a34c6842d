"""A node whose authority is over registers nothing; what it sent before that is won back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agent.core.hierarchy import REASSERT_AFTER_MS
from agent.core.states import Health
from recovery_kits.contract import Unanswered
from tests.aws_server import AwsServer, Rule, World
from tests.kits.acting import CALL, Agent, Brief
from tests.kits.target_group.harness import Node, registered
from tests.kits.target_group.test_actions import DEREGISTER, REGISTER, operations
from tests.runtime.waiting import wait_until


@pytest.mark.parametrize("action", [Node.restore, Node.recover, Node.reassert])
def test_a_node_without_authority_calls_nothing_and_tells_that_it_does_not_know(
    agent: Agent,
    aws_server: AwsServer,
    world: World,
    groups: tuple[str, ...],
    action: Callable[[Node], None],
) -> None:
    node = Node(agent, world, groups, "db-02", Brief(0))
    with pytest.raises(Unanswered, match="authority over the hierarchy has run out"):
        action(node)
    assert operations(aws_server) == []


def test_a_node_without_authority_is_removed_without_a_call(
    agent: Agent, aws_server: AwsServer, world: World, groups: tuple[str, ...]
) -> None:
    node = Node(agent, world, groups, "db-01", Brief(0))
    node.remove()
    assert operations(aws_server) == []
    assert len(node.lines) == len(groups)


def test_authority_is_asked_before_each_change(
    agent: Agent, aws_server: AwsServer, world: World, groups: tuple[str, ...]
) -> None:
    """Here it lasts for the registration, and not for the deregistration after it."""
    node = Node(agent, world, groups[:1], "db-02", Brief(CALL))
    with pytest.raises(Unanswered, match="DeregisterTargets: NoAuthority"):
        node.restore()
    assert operations(aws_server) == [REGISTER]


def test_a_check_needs_no_authority(agent: Agent, world: World, groups: tuple[str, ...], db_01: Node) -> None:
    db_01.restore()
    assert Node(agent, world, groups, "db-01", Brief(0)).check().health is Health.OK


def test_a_former_owners_changes_that_land_late_are_won_back(
    agents: Callable[[int], Agent], db_02: Node, aws_server: AwsServer, world: World, groups: tuple[str, ...]
) -> None:
    """db-01's registration is held on its way; db-02 takes over; then it lands."""
    old_agent = agents(400)
    db_01 = Node(old_agent, world, groups[:1], "db-01", Brief(CALL))
    aws_server.control.set_faults(Rule(operation=REGISTER, fault="late", left=1))
    try:
        with pytest.raises(Unanswered, match="NoAuthority"):  # the next call, for the first hasn't ended
            db_01.restore()
        db_02.restore()
        assert registered(aws_server, groups) == [[db_02.instance]] * 2
    finally:
        aws_server.control.release_late()
    wait_until(lambda: db_01.instance in registered(aws_server, groups)[0])
    assert db_02.check().health is Health.FAILED
    for _ in REASSERT_AFTER_MS:
        db_02.reassert()
        assert registered(aws_server, groups) == [[db_02.instance]] * 2
    assert db_02.check().health is Health.OK


def test_a_late_deregistration_at_remove_is_won_back_by_the_same_node(
    db_01: Node, aws_server: AwsServer
) -> None:
    """The remove has given it up; the service comes back to the node; then it lands."""
    db_01.restore()
    aws_server.control.set_faults(Rule(operation=DEREGISTER, fault="late", left=2))
    try:
        db_01.remove()
        db_01.restore()
    finally:
        aws_server.control.release_late()
    wait_until(lambda: registered(aws_server, db_01.groups) == [[], []])
    db_01.reassert()
    assert registered(aws_server, db_01.groups) == [[db_01.instance]] * 2
