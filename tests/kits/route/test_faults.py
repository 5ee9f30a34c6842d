"""What the route kit promises while AWS doesn't work: for each fault and action, one outcome.

An answer is FAILED or OK; what nobody answered is UNKNOWN, an alarm that moves no service.
"""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from tests.aws_server import AwsServer, Rule, World, throttle
from tests.kits.route.harness import Node, targets
from tests.kits.troubles import broken, expired, name_of, unauthorized

REPLACE, DESCRIBE = "ec2:ReplaceRoute", "ec2:DescribeRouteTables"


@pytest.fixture
def read_timeout_ms() -> int:
    """Short, so that a call that hangs three times is done with soon."""
    return 400


@pytest.mark.parametrize(
    "rule",
    [
        throttle(REPLACE, left=2),
        throttle(DESCRIBE, left=2),
        Rule(operation=REPLACE, fault="drop-before", left=2),
        Rule(operation=REPLACE, fault="drop-after"),  # each is applied, no reply ever comes
        Rule(operation=REPLACE, fault="hang", left=1),
        Rule(operation=DESCRIBE, fault="drop-before", left=1),
        Rule(operation=REPLACE, fault="error", status=500, code="InternalError", left=1),
    ],
    ids=name_of,
)
def test_restore_succeeds_in_spite_of(db_02: Node, aws_server: AwsServer, world: World, rule: Rule) -> None:
    aws_server.control.set_faults(rule)
    db_02.restore()
    aws_server.control.set_faults()
    assert targets(aws_server, world) == [db_02.interface] * 2


@pytest.mark.parametrize(
    "rule",
    [
        throttle(REPLACE),
        throttle(DESCRIBE),
        broken(REPLACE),
        broken(DESCRIBE),
        Rule(operation=REPLACE, fault="drop-before"),
        Rule(operation=REPLACE, fault="hang"),
        Rule(operation=DESCRIBE, fault="hang"),
        unauthorized(DESCRIBE),  # the changes were accepted; only reading back is refused
        Rule(fault="hang"),
    ],
    ids=name_of,
)
def test_nobody_can_tell_whether_restore_worked_after(db_02: Node, aws_server: AwsServer, rule: Rule) -> None:
    aws_server.control.set_faults(rule)
    for _ in range(2):
        with pytest.raises(Unanswered, match="route-vip: restore: rtb-"):
            db_02.restore()
    aws_server.control.set_faults()
    db_02.restore()


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (unauthorized(REPLACE), "give the node's role ec2:ReplaceRoute"),
        (expired(REPLACE), "instance profile"),
    ],
    ids=name_of,
)
def test_restore_fails_and_tells_the_operator_what_to_do_after(
    db_02: Node, aws_server: AwsServer, world: World, rule: Rule, says: str
) -> None:
    aws_server.control.set_faults(rule)
    for _ in range(2):
        with pytest.raises(KitError, match=says) as caught:
            db_02.restore()
        assert not isinstance(caught.value, Unanswered)
        assert all(table in str(caught.value) for table in world.route_tables)


def test_a_refused_table_makes_a_failure_and_hides_no_unanswered_one(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    first, second = world.route_tables
    refused = unauthorized(REPLACE)
    refused.body = first
    aws_server.control.set_faults(refused, throttle(REPLACE, body=second), throttle(DESCRIBE))
    with pytest.raises(KitError) as caught:
        db_02.restore()
    assert not isinstance(caught.value, Unanswered)
    assert f"{first}: ReplaceRoute: UnauthorizedOperation" in str(caught.value)
    assert f"{second}: ReplaceRoute: RequestLimitExceeded" in str(caught.value)


def test_one_throttled_table_keeps_no_other_from_being_changed(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    aws_server.control.set_faults(throttle(REPLACE, body=world.route_tables[0]))
    with pytest.raises(Unanswered) as caught:
        db_02.restore()
    assert world.route_tables[1] not in str(caught.value)
    assert targets(aws_server, world)[1] == db_02.interface


@pytest.mark.parametrize(
    "rule",
    [
        throttle(REPLACE),
        broken(REPLACE),
        Rule(operation=REPLACE, fault="drop-before"),
        Rule(operation=REPLACE, fault="hang"),
    ],
    ids=name_of,
)
def test_a_table_that_fails_is_named_at_each_try_until_the_api_recovers_and_one_try_mends_it(
    db_02: Node, aws_server: AwsServer, world: World, rule: Rule
) -> None:
    """The core tries again for as long as nobody answers; how often, its RETRY_FIRST_MS says."""
    failing, working = world.route_tables
    rule.body = failing
    aws_server.control.set_faults(rule)
    for _ in range(2):
        with pytest.raises(Unanswered, match=f"restore: {failing}: ReplaceRoute: ") as caught:
            db_02.restore()
        assert working not in str(caught.value)
        assert targets(aws_server, world)[1] == db_02.interface
    aws_server.control.set_faults()
    db_02.restore()
    assert targets(aws_server, world) == [db_02.interface] * 2


def test_a_route_created_by_a_lost_call_is_taken_as_ours(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    """The second try is refused with RouteAlreadyExists: by the first, whose answer was lost."""
    aws_server.control.set_faults(Rule(operation="ec2:CreateRoute", fault="drop-after", left=2))
    db_02.restore(destination=ip_network("10.3.0.0/24"))
    assert targets(aws_server, world, "10.3.0.0/24") == [db_02.interface] * 2


def test_a_throttled_call_is_tried_three_times_and_no_more(db_02: Node, aws_server: AwsServer) -> None:
    aws_server.control.set_faults(throttle(REPLACE))
    with pytest.raises(Unanswered):
        db_02.restore()
    assert len(aws_server.control.journal(REPLACE)) == 2 * 3


@pytest.mark.parametrize(
    "rule",
    [
        throttle(DESCRIBE),
        broken(DESCRIBE),
        unauthorized(DESCRIBE),
        expired(DESCRIBE),
        Rule(operation=DESCRIBE, fault="hang"),
        Rule(operation=DESCRIBE, fault="drop-before"),
        Rule(operation=DESCRIBE, fault="drop-after"),
    ],
    ids=name_of,
)
def test_a_check_that_is_not_answered_is_unknown_and_asks_once(
    db_01: Node, aws_server: AwsServer, rule: Rule
) -> None:
    aws_server.control.set_faults(rule)
    for calls in (1, 2):
        check = db_01.check()
        assert check.health is Health.UNKNOWN
        assert check.why.startswith("DescribeRouteTables: ")
        assert len(aws_server.control.journal()) == calls


def test_an_unauthorized_check_names_the_missing_action(db_01: Node, aws_server: AwsServer) -> None:
    aws_server.control.set_faults(unauthorized(DESCRIBE))
    assert "give the node's role ec2:DescribeRouteTables" in db_01.check().why
    (finding,) = db_01.validate()
    assert finding.remedy == "give the node's role ec2:DescribeRouteTables"


@pytest.mark.parametrize("fault", ["error", "hang", "drop-before", "drop-after"])
def test_remove_does_not_care_for_any_fault(db_01: Node, aws_server: AwsServer, fault: str) -> None:
    aws_server.control.set_faults(Rule(fault=fault))  # type: ignore[arg-type]
    for _ in range(2):
        db_01.remove()
    assert aws_server.control.journal() == []


def test_a_restore_cut_short_is_finished_by_the_next(
    db_02: Node, aws_server: AwsServer, world: World
) -> None:
    aws_server.control.set_faults(Rule(operation=REPLACE, body=world.route_tables[0], fault="hang", left=1))
    with pytest.raises(TimeoutError):
        db_02.restore_in_vain(within_s=0.1)
    db_02.restore()
    assert targets(aws_server, world) == [db_02.interface] * 2
