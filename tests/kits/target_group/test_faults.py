"""What the target-group kit promises while AWS doesn't work: for each fault and action, one outcome."""

from __future__ import annotations

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.target_group import kit
from tests.aws_server import AwsServer, Rule
from tests.kits.target_group.harness import Node, registered
from tests.kits.target_group.test_actions import DEREGISTER, DESCRIBE, REGISTER
from tests.kits.troubles import name_of


@pytest.fixture
def read_timeout_ms() -> int:
    """Short, so that calls that hang three times each are done with soon."""
    return 400


def throttled(operation: str, left: int | None = None) -> Rule:
    return Rule(operation=operation, fault="error", status=400, code="Throttling", left=left)


def denied(operation: str) -> Rule:
    return Rule(operation=operation, fault="error", status=403, code="AccessDenied")


def broken(operation: str, left: int | None = None) -> Rule:
    return Rule(operation=operation, fault="error", status=500, code="InternalFailure", left=left)


@pytest.mark.parametrize(
    "rule",
    [
        throttled(REGISTER, left=2),
        throttled(DEREGISTER, left=2),
        throttled(DESCRIBE, left=2),
        broken(REGISTER, left=1),
        Rule(operation=REGISTER, fault="drop-before", left=2),
        Rule(operation=REGISTER, fault="drop-after"),  # each is applied, no reply ever comes
        Rule(operation=DEREGISTER, fault="drop-after"),
        Rule(operation="*Targets", fault="drop-after"),
        Rule(operation=REGISTER, fault="hang", left=1),
    ],
    ids=name_of,
)
def test_restore_succeeds_in_spite_of(db_01: Node, db_02: Node, aws_server: AwsServer, rule: Rule) -> None:
    db_01.restore()
    aws_server.control.set_faults(rule)
    db_02.restore()
    aws_server.control.set_faults()
    assert registered(aws_server, db_02.groups) == [[db_02.instance]] * 2


@pytest.mark.parametrize(
    "rule",
    [
        throttled(REGISTER),
        throttled(DEREGISTER),
        throttled(DESCRIBE),
        broken(REGISTER),
        broken(DESCRIBE),
        Rule(operation=REGISTER, fault="drop-before"),
        Rule(operation=DEREGISTER, fault="drop-before"),
        denied(DESCRIBE),  # the changes were accepted; only reading back is refused
        Rule(fault="hang"),
    ],
    ids=name_of,
)
def test_nobody_can_tell_whether_restore_worked_after(
    db_01: Node, db_02: Node, aws_server: AwsServer, rule: Rule
) -> None:
    db_01.restore()
    aws_server.control.set_faults(rule)
    with pytest.raises(Unanswered, match=r"targets: restore: web: .*; api: "):
        db_02.restore()
    aws_server.control.set_faults()
    db_02.restore()
    assert registered(aws_server, db_02.groups) == [[db_02.instance]] * 2


@pytest.mark.parametrize("operation", [REGISTER, DEREGISTER])
def test_restore_fails_and_names_the_missing_permission(
    db_01: Node, db_02: Node, aws_server: AwsServer, operation: str
) -> None:
    db_01.restore()
    aws_server.control.set_faults(denied(operation))
    with pytest.raises(KitError, match=f"give the node's role {operation}") as caught:
        db_02.restore()
    assert not isinstance(caught.value, Unanswered)


def test_a_node_that_can_not_be_registered_takes_the_others_out_of_nothing(
    db_01: Node, db_02: Node, aws_server: AwsServer
) -> None:
    db_01.restore()
    aws_server.control.set_faults(denied(REGISTER))
    with pytest.raises(KitError):
        db_02.restore()
    assert registered(aws_server, db_01.groups) == [[db_01.instance]] * 2


def test_one_throttled_group_keeps_no_other_from_being_changed(db_01: Node, aws_server: AwsServer) -> None:
    rule = throttled(REGISTER)
    rule.body = "targetgroup%2Fweb"
    aws_server.control.set_faults(rule)
    with pytest.raises(Unanswered, match="targets: restore: web: RegisterTargets: Throttling") as caught:
        db_01.restore()
    assert "api" not in caught.value.reason
    assert registered(aws_server, db_01.groups) == [[], [db_01.instance]]


@pytest.mark.parametrize(
    "rule",
    [
        throttled(DESCRIBE),
        broken(DESCRIBE),
        denied(DESCRIBE),
        Rule(operation=DESCRIBE, fault="error", status=400, code="ExpiredToken"),
        Rule(operation=DESCRIBE, fault="hang"),
        Rule(operation=DESCRIBE, fault="drop-before"),
    ],
    ids=name_of,
)
def test_a_check_that_is_not_answered_is_unknown_and_asks_once(
    db_01: Node, aws_server: AwsServer, rule: Rule
) -> None:
    aws_server.control.set_faults(rule)
    check = db_01.check()
    assert check.health is Health.UNKNOWN
    assert check.why.startswith("web: DescribeTargetHealth: ")
    assert len(aws_server.control.journal()) == len(db_01.groups)


@pytest.mark.parametrize(
    "rule",
    [
        throttled("*"),
        broken("*"),
        denied("*"),
        Rule(fault="hang"),
        Rule(fault="drop-before"),
        Rule(fault="drop-after"),
    ],
    ids=name_of,
)
def test_remove_succeeds_whatever_aws_does_and_says_so(
    db_01: Node, aws_server: AwsServer, rule: Rule
) -> None:
    aws_server.control.set_faults(rule)
    db_01.remove()
    assert db_01.lines
    assert all(line.startswith("may stay registered until another node takes over: ") for line in db_01.lines)
    assert len(aws_server.control.journal(DEREGISTER)) == len(db_01.groups)  # each tried, and once


def test_remove_waits_for_its_own_limit_and_not_for_aws(
    db_01: Node, aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "REMOVE_LIMIT_S", 0.05)  # a call may take twenty times that
    aws_server.control.set_faults(Rule(fault="hang"))
    db_01.remove()
    assert db_01.lines == ["may stay registered until another node takes over: no answer within 0.05 s"]
