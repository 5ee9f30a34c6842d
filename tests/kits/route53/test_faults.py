"""What the route53 kit promises while Route 53 doesn't work: for each fault and action, one outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from tests.aws_server import Rule
from tests.aws_server.fixtures import KEY
from tests.kits.acting import Agent
from tests.kits.route53.harness import NAME, OWNER, Node, Zone, owner

LIST, CHANGE, ASK = "ListResourceRecordSets", "ChangeResourceRecordSets", "GetChange"
THROTTLED = {"fault": "error", "status": 400, "code": "Throttling"}
BROKEN = {"fault": "error", "status": 500, "code": "InternalError"}
BUSY = {"fault": "error", "status": 400, "code": "PriorRequestNotComplete"}
DENIED = {"fault": "error", "status": 403, "code": "AccessDenied"}
EXPIRED = {"fault": "error", "status": 403, "code": "ExpiredToken"}
SILENT, LOST, CUT = {"fault": "hang"}, {"fault": "drop-after"}, {"fault": "drop-before"}


@pytest.fixture
def read_timeout_ms() -> int:
    """Short, so that a call that hangs once is done with soon."""
    return 400


def break_(zone: Zone, operation: str, fault: Mapping[str, object], left: int | None = None) -> None:
    rule = Rule(operation=zone.rule_for(operation), left=left, **fault)  # type: ignore[arg-type]
    zone.server.control.set_faults(rule)


@pytest.mark.parametrize(
    ("operation", "fault", "left"),
    [
        (LIST, THROTTLED, 2),
        (LIST, CUT, 2),
        (CHANGE, THROTTLED, 2),
        (CHANGE, BUSY, 2),
        (CHANGE, BROKEN, 1),
        (CHANGE, CUT, 2),
        (CHANGE, LOST, 1),
        (CHANGE, SILENT, 1),
        (CHANGE, LOST, None),  # each is applied, no reply ever comes
        (ASK, THROTTLED, 3),
        (ASK, SILENT, 1),
    ],
)
def test_restore_succeeds_in_spite_of(
    db_01: Node, db_02: Node, zone: Zone, operation: str, fault: dict[str, object], left: int | None
) -> None:
    db_01.restore()
    break_(zone, operation, fault, left)
    db_02.restore()
    zone.server.control.set_faults()
    assert zone.record() == ["10.0.6.4"]
    assert db_02.check().health is Health.OK


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        (LIST, THROTTLED),
        (LIST, SILENT),
        (LIST, BROKEN),
        (CHANGE, THROTTLED),
        (CHANGE, BUSY),
        (CHANGE, BROKEN),
        (CHANGE, CUT),
        (CHANGE, SILENT),
        ("*", SILENT),
    ],
)
def test_nobody_can_tell_whether_restore_worked_after(
    db_01: Node, zone: Zone, hasty: Agent, operation: str, fault: dict[str, object]
) -> None:
    break_(zone, operation, fault)
    for _ in range(2):
        with pytest.raises(Unanswered, match="dns: restore: "):
            replace(db_01, agent=hasty).restore()
    zone.server.control.set_faults()
    db_01.restore()
    assert zone.record() == ["10.0.3.4"]


@pytest.mark.parametrize(
    ("operation", "fault", "says"),
    [
        (CHANGE, DENIED, "give the node's role route53:ChangeResourceRecordSets"),
        (LIST, DENIED, "give the node's role route53:ListResourceRecordSets"),
        (CHANGE, EXPIRED, "instance profile"),
    ],
)
def test_restore_fails_and_tells_the_operator_what_to_do_after(
    db_01: Node, zone: Zone, operation: str, fault: dict[str, object], says: str
) -> None:
    break_(zone, operation, fault)
    for _ in range(2):
        with pytest.raises(KitError, match=says) as caught:
            db_01.restore()
        assert not isinstance(caught.value, Unanswered)
    zone.server.control.set_faults()
    assert zone.record() is None


def test_a_change_whose_answer_was_lost_is_claimed_once_more_to_learn_when_it_is_in_sync(
    db_01: Node, zone: Zone
) -> None:
    break_(zone, CHANGE, LOST, left=1)
    assert db_01.restore().details() == {"in_sync": True}
    assert zone.record(OWNER, "TXT") == [owner("db-01", 2)]


def test_a_change_is_tried_three_times_and_no_more(db_01: Node, zone: Zone) -> None:
    break_(zone, CHANGE, THROTTLED)
    with pytest.raises(Unanswered):
        db_01.restore()
    assert zone.operations().count(CHANGE) == 3


def test_why_route_53_does_not_take_a_change_is_told(db_01: Node, zone: Zone) -> None:
    zone.put("db-09.example.net", kind="CNAME")
    with pytest.raises(KitError, match="conflicts with a CNAME") as caught:
        db_01.restore()
    assert not isinstance(caught.value, Unanswered)
    assert zone.operations().count(CHANGE) == 3


@pytest.mark.parametrize("fault", [THROTTLED, DENIED, SILENT])
def test_an_accepted_change_counts_though_nobody_tells_when_it_is_in_sync(
    db_01: Node, zone: Zone, fault: dict[str, object]
) -> None:
    """It can't be taken back, and no other node would be faster."""
    break_(zone, ASK, fault)
    assert db_01.restore(in_sync_within_ms=100).details() == {"in_sync": False}
    (line,) = db_01.lines
    assert "is accepted, but" in line
    assert zone.record() == ["10.0.3.4"]


def test_a_restore_may_be_told_not_to_wait(db_01: Node, zone: Zone) -> None:
    assert db_01.restore(in_sync_within_ms=0).details() == {"in_sync": None}
    assert zone.operations() == [LIST, CHANGE, LIST]


@pytest.mark.parametrize("fault", [THROTTLED, BROKEN, DENIED, EXPIRED, SILENT, CUT, LOST])
def test_a_check_that_is_not_answered_is_unknown_and_asks_once(
    db_01: Node, zone: Zone, fault: dict[str, object]
) -> None:
    db_01.restore()
    zone.server.forget_calls()
    break_(zone, LIST, fault)
    for calls in (1, 2):
        check = db_01.check()
        assert check.health is Health.UNKNOWN
        assert check.why.startswith("ListResourceRecordSets: ")
        assert len(zone.operations()) == calls


def test_a_zone_that_is_gone_is_a_failure(db_01: Node) -> None:
    assert db_01.check(hosted_zone_id="Z0").health is Health.FAILED
    with pytest.raises(KitError, match="NoSuchHostedZone") as caught:
        db_01.restore(hosted_zone_id="Z0")
    assert not isinstance(caught.value, Unanswered)


def test_remove_does_not_care_for_any_fault(db_01: Node, zone: Zone) -> None:
    for fault in (THROTTLED, SILENT, CUT, LOST):
        break_(zone, "*", fault)
        for _ in range(2):
            db_01.remove()
    assert zone.operations() == []


def test_a_restore_cut_short_is_finished_by_the_next(db_01: Node, zone: Zone) -> None:
    async def cut_short() -> None:
        await asyncio.wait_for(db_01.kit().restore(), 0.1)

    for operation in (LIST, CHANGE, ASK):
        break_(zone, operation, SILENT, left=1)
        with pytest.raises(TimeoutError):
            db_01.do(cut_short())
        db_01.restore()
        assert db_01.check().health is Health.OK


def test_as_another_accounts_role_it_does_everything(db_01: Node, zone: Zone) -> None:
    role = f"arn:aws:iam::123456789012:role/{zone.id}"
    assert list(db_01.validate(role_arn=role)) == []
    db_01.restore(role_arn=role)
    assert db_01.check(role_arn=role).health is Health.OK
    as_itself = {call.operation for call in zone.server.control.journal() if call.key == KEY}
    assert as_itself == {"sts:AssumeRole"}


def test_nothing_is_found_where_all_is_well(db_01: Node, db_02: Node) -> None:
    assert list(db_01.validate()) == []
    db_01.restore()
    for node in (db_01, db_02):
        assert list(node.validate()) == []


def test_what_would_fail_is_found(db_01: Node, zone: Zone) -> None:
    zone.put("10.0.9.9")
    (finding,) = db_01.validate()
    assert finding.problem == (
        f"{NAME} A can't be written: it exists already (10.0.9.9), and no cluster owns it"
    )
    assert finding.remedy == "set adopt = true, or delete it"
    assert list(db_01.validate(adopt=True)) == []
    (finding,) = db_01.validate(record_type="CNAME", value="db-01.example.net")
    assert "has other records already (A)" in finding.problem
    (finding,) = db_01.validate(name="groupware.example.net")
    assert "isn't in the zone" in finding.problem
    (finding,) = db_01.validate(record_type="AAAA")
    assert finding.remedy == "give `value` for db-01"
    problems = [
        each.problem
        for each in db_01.validate(name="example.com", record_type="CNAME", value="a.example.net")
    ]
    assert problems[0] == "example.com is the zone itself, and can't be a CNAME"
    (finding,) = db_01.validate(hosted_zone_id="Z0")
    assert finding.remedy.startswith("correct hosted_zone_id")


def test_a_missing_permission_is_found(db_01: Node, zone: Zone) -> None:
    break_(zone, LIST, DENIED)
    (finding,) = db_01.validate()
    assert finding.remedy == "give the node's role route53:ListResourceRecordSets"


def test_the_permissions_are_exactly_what_is_called(db_01: Node, zone: Zone) -> None:
    kit = db_01.restore()
    db_01.check()
    db_01.recover()
    db_01.validate()
    allowed = {action for each in kit.permissions(kit.parameters) for action in each.actions}
    assert {f"route53:{operation}" for operation in zone.operations()} == allowed


def test_only_this_record_and_its_owner_may_be_changed(db_01: Node, zone: Zone) -> None:
    kit = db_01.kit()
    change = kit.permissions(kit.parameters)[0]
    assert change.resources == (f"arn:{{partition}}:route53:::hostedzone/{zone.id}",)
    allowed = change.conditions["ForAllValues:StringEquals"]
    assert allowed["route53:ChangeResourceRecordSetsNormalizedRecordNames"] == (NAME, OWNER)
    assert allowed["route53:ChangeResourceRecordSetsActions"] == ("CREATE", "DELETE")


def test_with_a_role_only_that_role_is_needed(db_01: Node) -> None:
    role = "arn:aws:iam::123456789012:role/dns"
    kit = db_01.kit(role_arn=role)
    (needed,) = kit.permissions(kit.parameters)
    assert (needed.actions, needed.resources) == (("sts:AssumeRole",), (role,))
