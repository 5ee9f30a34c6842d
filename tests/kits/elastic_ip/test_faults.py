"""What the elastic-ip kit promises while AWS doesn't work: for each fault and action, one outcome.

An answer is FAILED or OK; what nobody answered is UNKNOWN, an alarm that moves no service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any

import pytest

from agent.core.hierarchy import REASSERT_AFTER_MS
from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.elastic_ip import ElasticIpKit
from tests.aws_server import Rule, throttle
from tests.aws_server.faults import Fault
from tests.kits.elastic_ip.conftest import Scene
from tests.kits.route.harness import Agent
from tests.runtime.waiting import wait_until

Run = Callable[[Any], Any]
ASSOCIATE, DESCRIBE = "ec2:AssociateAddress", "ec2:DescribeAddresses"


class Never:
    """The authority of a node that may not act any more."""

    def ms_left(self) -> int:
        return 0


@pytest.fixture
def read_timeout_ms() -> int:
    """Short, so that a call that hangs once is done with soon."""
    return 400


@pytest.fixture
def hasty(agents: Callable[[int], Agent]) -> Agent:
    """One that may well give up too soon: for what nobody answers anyway."""
    return agents(100)


def unauthorized(operation: str) -> Rule:
    return Rule(operation=operation, fault="error", status=403, code="UnauthorizedOperation")


def broken(operation: str, left: int | None = None) -> Rule:
    return Rule(operation=operation, fault="error", status=500, code="InternalError", left=left)


def name_of(rule: object) -> str:
    return f"{rule.operation}-{rule.fault}-{rule.code}-{rule.left}" if isinstance(rule, Rule) else ""


@pytest.mark.parametrize(
    "rule",
    [
        throttle(ASSOCIATE, left=2),
        throttle(DESCRIBE, left=2),
        broken(ASSOCIATE, left=1),
        Rule(operation=ASSOCIATE, fault="drop-before", left=2),
        Rule(operation=ASSOCIATE, fault="drop-after"),  # each is applied, no reply ever comes
        Rule(operation=ASSOCIATE, fault="hang", left=1),
        Rule(operation=DESCRIBE, fault="drop-before", left=1),
    ],
    ids=name_of,
)
def test_restore_succeeds_in_spite_of(db_02: ElasticIpKit, scene: Scene, run: Run, rule: Rule) -> None:
    scene.server.control.set_faults(rule)
    run(db_02.restore())
    scene.server.control.set_faults()
    assert scene.place() == (scene.interface("db-02"), "10.0.6.4")


@pytest.mark.parametrize(
    "rule",
    [
        throttle(ASSOCIATE),
        throttle(DESCRIBE),
        broken(ASSOCIATE),
        broken(DESCRIBE),
        Rule(operation=ASSOCIATE, fault="drop-before"),
        Rule(operation=ASSOCIATE, fault="hang"),
        Rule(operation=DESCRIBE, fault="hang"),
        unauthorized(DESCRIBE),  # the change was accepted; only reading back is refused
        Rule(fault="hang"),
    ],
    ids=name_of,
)
def test_nobody_can_tell_whether_restore_worked_after(
    db_02: ElasticIpKit, scene: Scene, run: Run, hasty: Agent, rule: Rule
) -> None:
    scene.server.control.set_faults(rule)
    with pytest.raises(Unanswered, match="eip-app: restore: "):
        hasty.runner.run(scene.kit(hasty, "db-02").restore())
    scene.server.control.set_faults()
    run(db_02.restore())


def test_a_refused_restore_fails_and_names_what_is_missing(
    db_02: ElasticIpKit, scene: Scene, run: Run
) -> None:
    scene.server.control.set_faults(unauthorized(ASSOCIATE))
    for _ in range(2):
        with pytest.raises(KitError, match="give the node's role ec2:AssociateAddress") as caught:
            run(db_02.restore())
        assert not isinstance(caught.value, Unanswered)


def test_a_refused_restore_fails_even_where_reading_back_is_not_answered(
    db_02: ElasticIpKit, scene: Scene, run: Run
) -> None:
    scene.server.control.set_faults(unauthorized(ASSOCIATE), throttle(DESCRIBE))
    with pytest.raises(KitError, match="give the node's role") as caught:
        run(db_02.restore())
    assert not isinstance(caught.value, Unanswered)


def test_what_is_here_already_is_success_though_the_change_is_refused(
    db_01: ElasticIpKit, scene: Scene, run: Run
) -> None:
    scene.server.control.set_faults(unauthorized(ASSOCIATE))
    run(db_01.restore())


def test_where_the_allocation_is_looked_up_that_too_may_go_unanswered(
    scene: Scene, agent: Agent, run: Run
) -> None:
    kit = scene.kit(agent, "db-02", allocation_id=None, public_ip=IPv4Address(scene.public))
    scene.server.control.set_faults(throttle(DESCRIBE))
    with pytest.raises(Unanswered):
        run(kit.restore())
    scene.server.control.set_faults(throttle(DESCRIBE, left=2))
    run(kit.restore())
    scene.server.control.set_faults(unauthorized(DESCRIBE))
    with pytest.raises(KitError, match="give the node's role ec2:DescribeAddresses") as caught:
        run(kit.restore())
    assert not isinstance(caught.value, Unanswered)


def test_a_throttled_call_is_tried_three_times_and_no_more(
    db_02: ElasticIpKit, scene: Scene, run: Run
) -> None:
    scene.server.control.set_faults(throttle(ASSOCIATE))
    with pytest.raises(Unanswered):
        run(db_02.restore())
    assert len(scene.server.control.journal(ASSOCIATE)) == 3


@pytest.mark.parametrize(
    "rule",
    [
        throttle(DESCRIBE),
        broken(DESCRIBE),
        unauthorized(DESCRIBE),
        Rule(operation=DESCRIBE, fault="hang"),
        Rule(operation=DESCRIBE, fault="drop-before"),
        Rule(operation=DESCRIBE, fault="drop-after"),
    ],
    ids=name_of,
)
def test_a_check_that_is_not_answered_is_unknown_and_asks_once(
    db_01: ElasticIpKit, scene: Scene, run: Run, rule: Rule
) -> None:
    scene.server.control.set_faults(rule)
    for calls in (1, 2):
        check = run(db_01.quick_check())
        assert check.health is Health.UNKNOWN
        assert check.why.startswith("DescribeAddresses: ")
        assert len(scene.server.control.journal()) == calls


def test_what_validate_is_not_told_is_a_finding(db_01: ElasticIpKit, scene: Scene, run: Run) -> None:
    for operation in ("ec2:DescribeAddresses", "ec2:DescribeInternetGateways"):
        scene.server.control.set_faults(unauthorized(operation))
        (finding,) = run(db_01.validate())
        assert finding.remedy == f"give the node's role {operation}"
    scene.server.control.set_faults(throttle())
    (finding,) = run(db_01.validate())
    assert finding.remedy == "try again when AWS answers"


def test_remove_does_not_care_for_any_fault(db_01: ElasticIpKit, scene: Scene, run: Run) -> None:
    faults: tuple[Fault, ...] = ("error", "hang", "drop-before", "drop-after")
    for fault in faults:
        scene.server.control.set_faults(Rule(fault=fault))
        for _ in range(2):
            run(db_01.remove())
    assert scene.server.control.journal() == []


def test_a_restore_cut_short_is_finished_by_the_next(db_02: ElasticIpKit, scene: Scene, run: Run) -> None:
    async def cut_short() -> None:
        await asyncio.wait_for(db_02.restore(), 0.1)

    scene.server.control.set_faults(Rule(operation=ASSOCIATE, fault="hang", left=1))
    with pytest.raises(TimeoutError):
        run(cut_short())
    run(db_02.restore())
    assert scene.place() == (scene.interface("db-02"), "10.0.6.4")


def test_without_authority_nothing_is_sent(scene: Scene, agent: Agent, run: Run) -> None:
    kit = scene.kit(agent, "db-02", Never())
    for action in (kit.restore, kit.recover, kit.reassert):
        with pytest.raises(Unanswered, match="authority over the hierarchy has run out"):
            run(action())
    assert scene.server.control.journal() == []
    assert run(kit.quick_check()).health is Health.FAILED  # to look needs none


def test_a_former_owners_change_that_lands_late_is_won_back(
    db_02: ElasticIpKit, scene: Scene, agent: Agent, run: Run
) -> None:
    """db-01's first try is on its way when its second works; db-02 takes over; then the first lands."""
    late = scene.world.node("db-01").interfaces[1].id
    scene.server.control.set_faults(Rule(operation=ASSOCIATE, fault="late", left=1))
    run(scene.kit(agent, "db-01", interface=late).restore())
    run(db_02.restore())
    scene.server.control.release_late()
    wait_until(lambda: scene.place()[0] == late)
    assert run(db_02.quick_check()).health is Health.FAILED
    assert ElasticIpKit.reasserts
    for _ in REASSERT_AFTER_MS:
        run(db_02.reassert())
        assert scene.place() == (scene.interface("db-02"), "10.0.6.4")
    assert run(db_02.quick_check()).health is Health.OK


def test_to_reassert_is_to_write_and_then_to_look(db_01: ElasticIpKit, scene: Scene, run: Run) -> None:
    """Though the address is here as far as can be read."""
    run(db_01.reassert())
    assert [call.operation for call in scene.server.control.journal()] == [ASSOCIATE, DESCRIBE]
