"""Route tables that another account's role sees and changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from tests.aws_server import AwsServer, Rule, World
from tests.aws_server.fixtures import KEY
from tests.kits.acting import Agent
from tests.kits.route.harness import Node, operations, targets

ROLE = "arn:aws:iam::123456789012:role/kagemusha-routes"  # moto: an ENI is known in its own account only
REFUSED = Rule(operation="sts:AssumeRole", fault="error", status=403, code="AccessDenied")


@pytest.fixture
def agent(aws_server: AwsServer) -> Iterator[Agent]:
    """A new one: an agent keeps a role's credentials, and the server forgets them."""
    with closing(Agent()) as agent:
        yield agent


def test_the_role_sees_and_changes_tables_and_the_node_its_own_interface(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    db_02.restore(route_tables_by="vip", role_arn=ROLE, repair_source_dest_check=True)
    assert targets(aws_server, world) == [db_02.interface] * 2
    aws_server.forget_calls()
    db_02.restore(role_arn=ROLE, repair_source_dest_check=True)
    assert db_02.check(role_arn=ROLE).health is Health.OK
    assert list(db_02.validate(role_arn=ROLE)) == []
    by_key = {(call.key == KEY, call.operation) for call in aws_server.control.journal()}
    assert by_key == {
        (False, "ec2:ReplaceRoute"),
        (False, "ec2:DescribeRouteTables"),
        (True, "ec2:ModifyNetworkInterfaceAttribute"),
        (True, "ec2:DescribeNetworkInterfaces"),
    }


def test_a_role_that_may_not_be_assumed_is_named_with_what_mends_it(
    db_02: Node, aws_server: AwsServer
) -> None:
    aws_server.control.set_faults(REFUSED)
    with pytest.raises(KitError, match=f"AssumeRole as {ROLE}: AccessDenied"):
        db_02.restore(role_arn=ROLE)
    assert db_02.check(role_arn=ROLE).health is Health.UNKNOWN
    (finding,) = db_02.validate(role_arn=ROLE)
    assert "sts:AssumeRole on that role" in finding.remedy
    assert set(operations(aws_server)) == {"sts:AssumeRole"}


def test_nobody_can_tell_while_no_credentials_are_given_out(db_02: Node, aws_server: AwsServer) -> None:
    aws_server.control.set_faults(Rule(operation="sts:AssumeRole", fault="drop-before"))
    with pytest.raises(Unanswered):
        db_02.restore(role_arn=ROLE)
    assert db_02.check(role_arn=ROLE).health is Health.UNKNOWN
