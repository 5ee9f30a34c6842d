"""What the eni kit promises while AWS doesn't work: what nobody answered is UNKNOWN, and moves no service."""

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
from tests.kits.eni.harness import UP, Card
from tests.kits.troubles import name_of

LOOK, ATTACH = "ec2:DescribeNetworkInterfaces", "ec2:AttachNetworkInterface"
DETACH, INSTANCES = "ec2:DetachNetworkInterface", "ec2:DescribeInstances"


@pytest.fixture
def read_timeout_ms() -> int:
    """Short, so that a call that hangs three times is done with soon."""
    return 400


def refusal(operation: str, code: str = "UnauthorizedOperation", left: int | None = None) -> Rule:
    return Rule(operation=operation, fault="error", status=403, code=code, left=left)


@pytest.mark.parametrize(
    "rule",
    [
        throttle(LOOK, left=2),
        throttle(INSTANCES, left=2),
        throttle(DETACH, left=2),
        Rule(operation=DETACH, fault="drop-after"),  # each is applied, no reply ever comes
        Rule(operation=ATTACH, fault="drop-after"),
        Rule(operation=ATTACH, fault="hang", left=1),
        refusal(ATTACH, "InvalidNetworkInterface.InUse", left=3),
        refusal(DETACH, "InvalidAttachmentID.NotFound", left=3),
    ],
    ids=name_of,
)
def test_restore_succeeds_in_spite_of(card: Card, zone: Zone, rule: Rule) -> None:
    card.attach("db-01")
    zone.server.control.set_faults(rule)
    card.restore("db-03")
    assert card.at() == "db-03"


@pytest.mark.parametrize(
    "rule",
    [
        throttle(LOOK),
        throttle(ATTACH),
        throttle(DETACH),
        Rule(operation=INSTANCES, fault="drop-before"),
        Rule(operation=DETACH, fault="drop-before"),
        Rule(operation=ATTACH, fault="hang"),
        Rule(operation=ATTACH, fault="error", status=500, code="InternalError"),
    ],
    ids=name_of,
)
def test_nobody_can_tell_whether_restore_worked_after(card: Card, zone: Zone, rule: Rule) -> None:
    card.attach("db-01")
    zone.server.control.set_faults(rule)
    with pytest.raises(Unanswered, match="res: restore: "):
        card.restore("db-03")
    zone.server.control.set_faults()
    card.restore("db-03")
    assert card.at() == "db-03"


@pytest.mark.parametrize("operation", [LOOK, INSTANCES, DETACH, ATTACH])
def test_a_missing_permission_is_a_failure_that_names_it(card: Card, zone: Zone, operation: str) -> None:
    card.attach("db-01")
    zone.server.control.set_faults(refusal(operation))
    with pytest.raises(KitError, match=f"give the node's role {operation}") as caught:
        card.restore("db-03")
    assert not isinstance(caught.value, Unanswered)
    remedies = [finding.remedy for finding in card.validate("db-03")]
    assert f"give the node's role {operation}" in remedies


@pytest.mark.parametrize("was_at", ["db-01", ""])
def test_without_authority_nothing_changes(card: Card, zone: Zone, was_at: str) -> None:
    if was_at:
        card.attach(was_at)
    with pytest.raises(Unanswered, match="authority over the hierarchy has run out"):
        card.restore("db-03", authority=Brief(0))
    assert zone.changes() == []
    assert card.ip["db-03"].calls == []


@pytest.mark.parametrize("fault", ["error", "hang", "drop-before", "drop-after"])
def test_a_check_that_is_not_answered_is_unknown_unless_the_link_is_amiss(
    card: Card, zone: Zone, fault: Any
) -> None:
    card.attach("db-01")
    card.show("db-01", UP)
    zone.server.control.set_faults(Rule(fault=fault))
    check = card.check("db-01")
    assert check.health is Health.UNKNOWN
    assert check.why.startswith("DescribeNetworkInterfaces: ")
    zone.agent.run(card.kit("db-01").remove())
    assert card.check("db-01").why == "eth2 is down"
    assert len(zone.operations()) == 2  # remove called nothing


def test_a_check_that_is_not_permitted_is_unknown_and_names_the_permission(card: Card, zone: Zone) -> None:
    card.attach("db-01")
    card.show("db-01", UP)
    zone.server.control.set_faults(refusal(LOOK))
    check = card.check("db-01")
    assert check.health is Health.UNKNOWN
    assert "give the node's role ec2:DescribeNetworkInterfaces" in check.why


def test_while_metadata_is_away_nobody_can_tell(card: Card, zone: Zone) -> None:
    card.show("db-01", UP)
    kit = card.kit("db-01")
    aws: Any = kit.tools.aws
    aws.away = AwsError(AwsFault.NETWORK, "instance metadata", "TimeoutError", "it doesn't answer")
    with pytest.raises(Unanswered, match="instance metadata"):
        zone.agent.run(kit.restore())
    assert zone.agent.run(kit.quick_check()).health is Health.UNKNOWN
    (finding,) = zone.agent.run(kit.validate())
    assert not finding.certain
    zone.agent.run(kit.remove())
    assert not card.is_up("db-01")
    assert zone.operations() == []


@pytest.mark.parametrize("operation", [LOOK, INSTANCES, ATTACH, DETACH])
def test_what_could_not_be_asked_beforehand_is_found_as_uncertain(
    card: Card, zone: Zone, operation: str
) -> None:
    card.attach("db-01")
    zone.server.control.set_faults(throttle(operation))
    (finding,) = card.validate("db-03")
    assert not finding.certain
    assert card.at() == "db-01"


def test_an_empty_answer_is_no_evidence(card: Card, zone: Zone) -> None:
    card.attach("db-01")
    card.show("db-01", UP)
    with zone.told("describe_network_interfaces", {"NetworkInterfaces": []}):
        assert card.health("db-01") is Health.UNKNOWN
        with pytest.raises(Unanswered, match="EmptyAnswer"):
            card.restore("db-03")


def test_what_aws_refuses_for_another_reason_is_found_as_certain(card: Card, zone: Zone) -> None:
    """Trying again when it answers would help nobody: it has answered."""
    zone.server.control.set_faults(
        Rule(operation=LOOK, fault="error", status=400, code="InvalidParameterValue")
    )
    (finding,) = card.validate("db-03")
    assert finding.certain
    assert finding.remedy == "correct what this names"


@pytest.mark.parametrize("node", ["db-01", "db-03"])
def test_whatever_is_found_is_found_by_dry_runs(card: Card, zone: Zone, node: str) -> None:
    """They need no authority; so nothing else may go out by theirs."""
    card.attach("db-01")
    with zone.heard() as heard:
        card.validate(node, authority=Brief(0))
    assert sorted(each["operation"] for each in heard) == [
        "attach_network_interface",
        "detach_network_interface",
    ]
    assert all(each["DryRun"] is True for each in heard)
    assert card.at() == "db-01"


def test_a_restore_cut_short_is_finished_by_the_next(card: Card, zone: Zone) -> None:
    card.attach("db-01")
    zone.server.control.set_faults(Rule(operation=ATTACH, fault="hang", left=1))

    async def cut_short() -> None:
        restoring = asyncio.create_task(card.kit("db-03").restore())
        while "AttachNetworkInterface" not in zone.operations():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        restoring.cancel()
        await asyncio.gather(restoring, return_exceptions=True)

    zone.agent.run(cut_short())
    card.restore("db-03")
    assert card.at() == "db-03"
