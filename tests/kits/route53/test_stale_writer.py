"""Two nodes and one record: what was made of an older reading fails, however late it arrives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from recovery_kits.contract import KitError, Unanswered
from recovery_kits.route53 import Route53Kit
from recovery_kits.route53.records import Reading
from tests.aws_server import AwsServer, Rule
from tests.kits.acting import CALL, Agent, Brief
from tests.kits.route53.harness import OWNER, Node, Zone, owner
from tests.runtime.waiting import wait_until

LIST, CHANGE = "ListResourceRecordSets", "ChangeResourceRecordSets"


@pytest.fixture
def old_owner(aws_server: AwsServer, agents: Callable[[int], Agent], zone: Zone) -> Node:
    """db-01 with an agent of its own, soon out of patience, and authority for one more call."""
    return Node(agents(400), zone, "db-01", authority=Brief(CALL))


def hold_one_change(zone: Zone, node: Node) -> None:
    """Let the node's next change be held on its way; its try after that is without authority."""
    zone.server.control.set_faults(Rule(operation=zone.rule_for(CHANGE), fault="late", left=1))
    with pytest.raises(Unanswered, match="NoAuthority"):
        node.restore()


def land_it(zone: Zone, node: Node) -> None:
    """Let the change that was held arrive."""
    zone.server.control.release_late()
    node.do(node.agent.until_idle())


@pytest.mark.parametrize("action", [Node.restore, Node.recover])
def test_without_authority_nothing_is_changed(
    db_01: Node, zone: Zone, action: Callable[[Node], None]
) -> None:
    node = replace(db_01, authority=Brief(0))
    for _ in range(2):
        with pytest.raises(Unanswered, match="authority over the hierarchy has run out"):
            action(node)
    assert zone.operations() == [LIST] * 2
    assert zone.record() is None


def test_a_throttled_change_is_not_tried_again_without_authority(db_01: Node, zone: Zone) -> None:
    rule = Rule(operation=zone.rule_for(CHANGE), fault="error", status=400, code="Throttling", left=1)
    zone.server.control.set_faults(rule)
    with pytest.raises(Unanswered, match="NoAuthority"):
        replace(db_01, authority=Brief(CALL)).restore()
    assert zone.operations().count(CHANGE) == 1


def test_a_check_needs_no_authority(db_01: Node) -> None:
    db_01.restore()
    assert replace(db_01, authority=Brief(0)).check().why == ""


@pytest.mark.parametrize("before", [None, "db-01", "db-02"])
def test_a_former_owners_change_that_lands_late_changes_nothing(
    old_owner: Node, db_01: Node, db_02: Node, zone: Zone, before: str | None
) -> None:
    """Whoever owned the record when it was read; also where the new owner had it all along."""
    assert not Route53Kit.reasserts
    for node in (db_01, db_02):
        if node.name == before:
            node.restore()
    serial = 2 if before else 1
    try:
        hold_one_change(zone, old_owner)
        db_02.restore()
    finally:
        land_it(zone, old_owner)
    assert zone.record() == ["10.0.6.4"]
    assert zone.record(OWNER, "TXT") == [owner("db-02", serial)]
    assert db_02.check().why == ""


def test_a_late_change_fails_though_the_record_looks_again_as_it_was_read(
    old_owner: Node, db_01: Node, db_02: Node, zone: Zone
) -> None:
    """db-02 had it, db-01 wanted it; since then db-01 has had it, and db-02 has it again."""
    db_02.restore()
    try:
        hold_one_change(zone, old_owner)
        for node in (db_01, db_02):
            node.restore()
    finally:
        land_it(zone, old_owner)
    assert zone.record() == ["10.0.6.4"]
    assert zone.record(OWNER, "TXT") == [owner("db-02", 3)]


def test_a_change_that_comes_between_reading_and_writing_is_seen_and_taken_over(
    old_owner: Node, db_02: Node, zone: Zone
) -> None:
    """The old owner's change lands after the new one has read: that one's first claim fails."""
    hold_one_change(zone, old_owner)
    zone.server.forget_calls()
    kit = db_02.kit()
    look = kit._look

    async def look_and_let_it_land() -> Reading:
        reading = await look()
        zone.server.control.release_late()
        wait_until(lambda: zone.record(OWNER, "TXT") is not None)
        return reading

    kit._look = look_and_let_it_land  # type: ignore[method-assign]
    db_02.do(kit.restore())
    old_owner.do(old_owner.agent.until_idle())
    assert zone.record() == ["10.0.6.4"]
    assert zone.record(OWNER, "TXT") == [owner("db-02", 2)]
    assert zone.operations().count(CHANGE) == 2


def test_a_reading_that_is_out_of_date_costs_a_try_and_nothing_else(
    db_01: Node, db_02: Node, zone: Zone
) -> None:
    """Also when the next one is out of date as well: a refusal is no reason to believe it."""
    db_01.restore()
    kit = db_02.kit()
    look = kit._look
    old = db_02.do(look())
    db_01.restore()
    readings = [old, old]

    async def look_late() -> Reading:
        return readings.pop() if readings else await look()

    kit._look = look_late  # type: ignore[method-assign]
    db_02.do(kit.restore())
    assert zone.record() == ["10.0.6.4"]
    assert zone.record(OWNER, "TXT") == [owner("db-02", 3)]


def test_what_another_owner_writes_meanwhile_is_left_alone(db_01: Node, zone: Zone) -> None:
    kit = db_01.kit()
    look = kit._look

    async def look_and_lose() -> Reading:
        reading = await look()
        if zone.record() is None:
            zone.put("10.0.9.9")
        return reading

    kit._look = look_and_lose  # type: ignore[method-assign]
    with pytest.raises(KitError, match="no cluster owns it") as caught:
        db_01.do(kit.restore())
    assert not isinstance(caught.value, Unanswered)
    assert zone.record() == ["10.0.9.9"]


def test_what_an_operator_changes_while_restore_waits_is_told(db_01: Node, zone: Zone) -> None:
    kit = db_01.kit()
    wait = kit._wait_for_sync

    async def wait_and_lose(change: str | None) -> None:
        await wait(change)
        zone.put("10.0.9.9")

    kit._wait_for_sync = wait_and_lose  # type: ignore[method-assign]
    with pytest.raises(Unanswered, match=r"leads to 10\.0\.9\.9; somebody may have changed it"):
        db_01.do(kit.restore())
    db_01.restore()  # as the agent tries again: no other node would fare better
    assert zone.record() == ["10.0.3.4"]
