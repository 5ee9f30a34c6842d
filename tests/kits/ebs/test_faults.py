"""What the ebs kit promises while AWS doesn't work: what nobody answered is UNKNOWN, and moves no service."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.aws import AwsError, AwsFault
from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from tests.aws_server import Rule, throttle
from tests.kits.acting import Brief
from tests.kits.attachment.harness import Zone
from tests.kits.ebs.harness import Disk
from tests.kits.troubles import name_of, unauthorized

LOOK, ATTACH, DETACH = "ec2:DescribeVolumes", "ec2:AttachVolume", "ec2:DetachVolume"
INSTANCES = "ec2:DescribeInstances"
BUSY = Rule(operation=ATTACH, fault="error", status=400, code="VolumeInUse", left=3)


@pytest.fixture
def read_timeout_ms() -> int:
    """Short, so that a call that hangs three times is done with soon."""
    return 400


@pytest.mark.parametrize(
    "rule",
    [
        throttle(LOOK, left=2),
        throttle(INSTANCES, left=2),
        throttle(DETACH, left=2),
        throttle(ATTACH, left=2),
        Rule(operation=DETACH, fault="drop-after"),  # each is applied, no reply ever comes
        Rule(operation=ATTACH, fault="drop-after"),
        Rule(operation=ATTACH, fault="drop-before", left=2),
        Rule(operation=DETACH, fault="hang", left=1),
        BUSY,
    ],
    ids=name_of,
)
def test_restore_succeeds_in_spite_of(disk: Disk, zone: Zone, rule: Rule) -> None:
    disk.attach("db-01")
    zone.server.control.set_faults(rule)
    disk.restore("db-03")
    assert disk.at() == "db-03"


@pytest.mark.parametrize("operation", [LOOK, INSTANCES, DETACH, ATTACH])
@pytest.mark.parametrize("fault", ["throttle", "drop-before", "hang", "500"])
def test_nobody_can_tell_whether_restore_worked_after(
    disk: Disk, zone: Zone, operation: str, fault: Any
) -> None:
    rule = Rule(operation=operation, fault=fault) if fault in {"drop-before", "hang"} else throttle(operation)
    if fault == "500":
        rule.status, rule.code = 500, "InternalError"
    disk.attach("db-01")
    zone.server.control.set_faults(rule)
    with pytest.raises(Unanswered, match="res: restore: "):
        disk.restore("db-03")
    zone.server.control.set_faults()
    disk.restore("db-03")
    assert disk.at() == "db-03"


@pytest.mark.parametrize("operation", [LOOK, INSTANCES, DETACH, ATTACH])
def test_a_missing_permission_is_a_failure_that_names_it(disk: Disk, zone: Zone, operation: str) -> None:
    disk.attach("db-01")
    zone.server.control.set_faults(unauthorized(operation))
    with pytest.raises(KitError, match=f"give the node's role {operation}") as caught:
        disk.restore("db-03")
    assert not isinstance(caught.value, Unanswered)
    assert [finding.remedy for finding in disk.validate("db-03")][-1:] == [
        f"give the node's role {operation}"
    ]


@pytest.mark.parametrize("was_at", ["db-01", ""])
def test_without_authority_nothing_changes(disk: Disk, zone: Zone, was_at: str) -> None:
    if was_at:
        disk.attach(was_at)
    with pytest.raises(Unanswered, match="authority over the hierarchy has run out"):
        disk.restore("db-03", authority=Brief(0))
    assert zone.changes() == []
    disk.remove("db-01", authority=Brief(0), detach_on_remove=True)
    assert zone.changes() == []
    assert "NoAuthority" in zone.logged[-1]
    assert disk.health("db-01") is (Health.OK if was_at else Health.FAILED)  # a check needs none


@pytest.mark.parametrize(
    "rule",
    [
        throttle(LOOK),
        unauthorized(LOOK),
        *(Rule(fault=each) for each in ("hang", "drop-before", "drop-after")),
    ],
    ids=name_of,
)
def test_a_check_that_is_not_answered_is_unknown_unless_the_device_has_gone(
    disk: Disk, zone: Zone, rule: Rule
) -> None:
    disk.attach("db-01")
    zone.server.control.set_faults(rule)
    check = disk.check("db-01")
    assert check.health is Health.UNKNOWN
    assert check.why.startswith("DescribeVolumes: ")
    disk.hide("db-01")
    assert disk.health("db-01") is Health.FAILED
    assert len(zone.operations()) == 2


def test_while_metadata_is_away_nobody_can_tell(disk: Disk, zone: Zone) -> None:
    kit = disk.kit("db-01")
    aws: Any = kit.tools.aws
    aws.away = AwsError(AwsFault.NETWORK, "instance metadata", "TimeoutError", "it doesn't answer")
    with pytest.raises(Unanswered, match="instance metadata"):
        zone.agent.run(kit.restore())
    assert zone.agent.run(kit.quick_check()).health is Health.UNKNOWN
    (finding,) = zone.agent.run(kit.validate())
    assert not finding.certain
    zone.agent.run(kit.remove())
    assert zone.operations() == []


@pytest.mark.parametrize("fault", ["error", "hang", "drop-before", "drop-after"])
def test_remove_does_not_care_for_any_fault(disk: Disk, zone: Zone, fault: Any) -> None:
    disk.attach("db-01")
    zone.server.control.set_faults(Rule(fault=fault))
    disk.remove("db-01")
    assert zone.operations() == []
    disk.remove("db-01", detach_on_remove=True)
    assert "stays attached for now" in zone.logged[-1]
    assert zone.operations() == ["DetachVolume"]


@pytest.mark.parametrize("operation", [LOOK, INSTANCES, ATTACH, DETACH])
def test_what_could_not_be_asked_beforehand_is_found_as_uncertain(
    disk: Disk, zone: Zone, operation: str
) -> None:
    disk.attach("db-01")
    zone.server.control.set_faults(throttle(operation))
    (finding,) = disk.validate("db-03")
    assert not finding.certain
    assert disk.at() == "db-01"


def test_an_empty_answer_is_no_evidence(disk: Disk, zone: Zone) -> None:
    disk.attach("db-01")
    with zone.told("describe_volumes", {"Volumes": []}):
        assert disk.health("db-01") is Health.UNKNOWN
        with pytest.raises(Unanswered, match="EmptyAnswer"):
            disk.restore("db-03")


def test_what_aws_refuses_for_another_reason_is_found_as_certain(disk: Disk, zone: Zone) -> None:
    """Trying again when it answers would help nobody: it has answered."""
    zone.server.control.set_faults(
        Rule(operation=LOOK, fault="error", status=400, code="InvalidParameterValue")
    )
    (finding,) = disk.validate("db-03")
    assert finding.certain
    assert finding.remedy == "correct what this names"


@pytest.mark.parametrize("node", ["db-01", "db-03"])
def test_whatever_is_found_is_found_by_dry_runs(disk: Disk, zone: Zone, node: str) -> None:
    """They need no authority; so nothing else may go out by theirs."""
    disk.attach("db-01")
    with zone.heard() as heard:
        disk.validate(node, authority=Brief(0))
    assert sorted(each["operation"] for each in heard) == ["attach_volume", "detach_volume"]
    assert all(each["DryRun"] is True for each in heard)
    assert disk.at() == "db-01"


def test_a_restore_cut_short_is_finished_by_the_next(disk: Disk, zone: Zone) -> None:
    disk.attach("db-01")
    zone.server.control.set_faults(Rule(operation=ATTACH, fault="hang", left=1))

    async def cut_short() -> None:
        restoring = asyncio.create_task(disk.kit("db-03").restore())
        while "AttachVolume" not in zone.operations():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        restoring.cancel()
        await asyncio.gather(restoring, return_exceptions=True)

    zone.agent.run(cut_short())
    disk.restore("db-03")
    assert disk.at() == "db-03"
