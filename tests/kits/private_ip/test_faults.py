"""What the private-ip kit promises while AWS doesn't work: for each fault and action, one outcome.

An answer is FAILED or OK; what nobody answered is UNKNOWN, an alarm that moves no service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agent.core.hierarchy import REASSERT_AFTER_MS
from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.private_ip import PrivateIpKit
from tests.aws_server import Rule, throttle
from tests.aws_server.faults import Fault
from tests.kits.private_ip.conftest import Scene
from tests.kits.route.harness import Agent
from tests.runtime.waiting import wait_until

Run = Callable[[Any], Any]
ASSIGN, DESCRIBE = "ec2:AssignPrivateIpAddresses", "ec2:DescribeNetworkInterfaces"


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
        throttle(ASSIGN, left=2),
        throttle(DESCRIBE, left=2),
        broken(ASSIGN, left=1),
        Rule(operation=ASSIGN, fault="drop-before", left=2),
        Rule(operation=ASSIGN, fault="drop-after"),  # each is applied, no reply ever comes
        Rule(operation=ASSIGN, fault="hang", left=1),
        Rule(operation=DESCRIBE, fault="drop-before", left=1),
    ],
    ids=name_of,
)
def test_restore_succeeds_in_spite_of(db_03: PrivateIpKit, scene: Scene, run: Run, rule: Rule) -> None:
    scene.server.control.set_faults(rule)
    run(db_03.restore())
    scene.server.control.set_faults()
    assert scene.holders() == [scene.interfaces["db-03"]]


@pytest.mark.parametrize(
    "rule",
    [
        throttle(ASSIGN),
        throttle(DESCRIBE),
        broken(ASSIGN),
        broken(DESCRIBE),
        Rule(operation=ASSIGN, fault="drop-before"),
        Rule(operation=ASSIGN, fault="hang"),
        Rule(operation=DESCRIBE, fault="hang"),
        unauthorized(DESCRIBE),  # the change was accepted; only reading back is refused
        Rule(fault="hang"),
    ],
    ids=name_of,
)
def test_nobody_can_tell_whether_restore_worked_after(
    db_03: PrivateIpKit, scene: Scene, run: Run, hasty: Agent, rule: Rule
) -> None:
    scene.server.control.set_faults(rule)
    with pytest.raises(Unanswered, match="private-ip-app: restore: "):
        hasty.runner.run(scene.kit(hasty, "db-03").restore())
    scene.server.control.set_faults()
    run(db_03.restore())


def test_a_refused_restore_fails_and_names_what_is_missing(
    db_03: PrivateIpKit, scene: Scene, run: Run
) -> None:
    scene.server.control.set_faults(unauthorized(ASSIGN))
    for _ in range(2):
        with pytest.raises(KitError, match="give the node's role ec2:AssignPrivateIpAddresses") as caught:
            run(db_03.restore())
        assert not isinstance(caught.value, Unanswered)


def test_a_refused_restore_fails_even_where_reading_back_is_not_answered(
    db_03: PrivateIpKit, scene: Scene, run: Run
) -> None:
    scene.server.control.set_faults(unauthorized(ASSIGN), throttle(DESCRIBE))
    with pytest.raises(KitError, match="give the node's role") as caught:
        run(db_03.restore())
    assert not isinstance(caught.value, Unanswered)


def test_what_is_here_already_is_success_though_the_change_is_refused(
    db_01: PrivateIpKit, scene: Scene, run: Run
) -> None:
    scene.server.control.set_faults(unauthorized(ASSIGN))
    run(db_01.restore())


def test_a_throttled_call_is_tried_three_times_and_no_more(
    db_03: PrivateIpKit, scene: Scene, run: Run
) -> None:
    scene.server.control.set_faults(throttle(ASSIGN))
    with pytest.raises(Unanswered):
        run(db_03.restore())
    assert len(scene.server.control.journal(ASSIGN)) == 3


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
    db_01: PrivateIpKit, scene: Scene, run: Run, rule: Rule
) -> None:
    scene.server.control.set_faults(rule)
    for calls in (1, 2):
        check = run(db_01.quick_check())
        assert check.health is Health.UNKNOWN
        assert check.why.startswith("DescribeNetworkInterfaces: ")
        assert len(scene.server.control.journal()) == calls


def test_remove_does_not_care_for_any_fault(db_01: PrivateIpKit, scene: Scene, run: Run) -> None:
    faults: tuple[Fault, ...] = ("error", "hang", "drop-before", "drop-after")
    for fault in faults:
        scene.server.control.set_faults(Rule(fault=fault))
        for _ in range(2):
            run(db_01.remove())
    assert scene.server.control.journal() == []


def test_a_restore_cut_short_is_finished_by_the_next(db_03: PrivateIpKit, scene: Scene, run: Run) -> None:
    async def cut_short() -> None:
        await asyncio.wait_for(db_03.restore(), 0.1)

    scene.server.control.set_faults(Rule(operation=ASSIGN, fault="hang", left=1))
    with pytest.raises(TimeoutError):
        run(cut_short())
    run(db_03.restore())
    assert scene.holders() == [scene.interfaces["db-03"]]


def test_without_authority_nothing_is_sent(scene: Scene, agent: Agent, run: Run) -> None:
    kit = scene.kit(agent, "db-03", Never())
    for action in (kit.restore, kit.recover, kit.reassert):
        with pytest.raises(Unanswered, match="authority over the hierarchy has run out"):
            run(action())
    assert scene.server.control.journal() == []
    assert run(kit.quick_check()).health is Health.FAILED  # to look needs none


def test_a_former_owners_change_that_lands_late_is_won_back(
    db_01: PrivateIpKit, db_03: PrivateIpKit, scene: Scene, run: Run
) -> None:
    """db-01's first try is on its way when its second works; db-03 takes over; then the first lands."""
    scene.server.control.set_faults(Rule(operation=ASSIGN, fault="late", left=1))
    run(db_01.restore())
    run(db_03.restore())
    scene.server.control.release_late()
    wait_until(lambda: scene.holders() == [scene.interfaces["db-01"]])
    assert run(db_03.quick_check()).health is Health.FAILED
    assert PrivateIpKit.reasserts
    for _ in REASSERT_AFTER_MS:
        run(db_03.reassert())
        assert scene.holders() == [scene.interfaces["db-03"]]
    assert run(db_03.quick_check()).health is Health.OK


def test_to_reassert_is_to_write_and_then_to_look(db_01: PrivateIpKit, scene: Scene, run: Run) -> None:
    """Though the address is here as far as can be read."""
    run(db_01.reassert())
    assert [call.operation for call in scene.server.control.journal()] == [ASSIGN, DESCRIBE]
