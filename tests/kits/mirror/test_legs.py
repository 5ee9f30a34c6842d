"""What is decided for a leg."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from agent.core.ids import Instant
from recovery_kits.mirror.legs import Counted, Facts, Member, Retry, Step, decide

DEAD_AFTER_MS = 2_000


def facts(**different: Any) -> Facts:
    """A healthy leg, but for what is `different`."""
    healthy = {
        "member": Member.IN_SYNC,
        "counted": Counted.YES,
        "connected": True,
        "link_dead": False,
        "troubled_ms": 0,
        "paused": False,
        "afresh": False,
        "slow": False,
        "may_try": True,
    }
    return Facts(**{**healthy, **different})


ALL = [
    Facts(
        member=member,
        counted=counted,
        connected=connected,
        link_dead=link_dead,
        troubled_ms=troubled_ms,
        paused=paused,
        afresh=afresh,
        slow=slow,
        may_try=may_try,
    )
    for member, counted, troubled_ms in itertools.product(Member, Counted, (0, 100, 1_999, 2_000, 9_000))
    for connected, link_dead, paused, afresh, slow, may_try in itertools.product((True, False), repeat=6)
]


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        (facts(), Step.REST),
        (facts(counted=Counted.NO), Step.INCLUDE),
        (facts(counted=Counted.UNKNOWN), Step.INCLUDE),
        (facts(troubled_ms=500), Step.REST),  # slow, but connected
        (facts(troubled_ms=500, link_dead=True), Step.RECONNECT),
        (facts(troubled_ms=500, link_dead=True, may_try=False), Step.REST),
        (facts(troubled_ms=2_000, link_dead=True), Step.EXCLUDE),
        (facts(troubled_ms=2_000), Step.EXCLUDE),  # connected, and answers nothing
        (facts(troubled_ms=2_000, counted=Counted.UNKNOWN), Step.EXCLUDE),
        (facts(troubled_ms=2_000, counted=Counted.NO), Step.DETACH),
        (facts(paused=True), Step.EXCLUDE),
        (facts(paused=True, counted=Counted.NO), Step.DETACH),
        (facts(afresh=True), Step.EXCLUDE),
        (facts(afresh=True, counted=Counted.NO), Step.DETACH),
        (facts(slow=True), Step.EXCLUDE),
        (facts(slow=True, counted=Counted.NO), Step.DETACH),
        (facts(member=Member.FAULTY), Step.EXCLUDE),
        (facts(member=Member.FAULTY, counted=Counted.NO), Step.DETACH),
        (facts(member=Member.COPYING, counted=Counted.NO), Step.REST),
        (facts(member=Member.COPYING, counted=Counted.UNKNOWN), Step.EXCLUDE),
        (facts(member=Member.COPYING, counted=Counted.NO, troubled_ms=2_000), Step.DETACH),
        (facts(member=Member.ABSENT, counted=Counted.UNKNOWN), Step.EXCLUDE),
        (facts(member=Member.ABSENT, counted=Counted.NO), Step.DETACH),  # a device that was left over
        (facts(member=Member.ABSENT, counted=Counted.NO, connected=False), Step.ATTACH),
        (facts(member=Member.ABSENT, counted=Counted.NO, connected=False, may_try=False), Step.REST),
        (facts(member=Member.ABSENT, counted=Counted.NO, connected=False, paused=True), Step.REST),
    ],
)
def test_each_situation_has_its_step(seen: Facts, step: Step) -> None:
    assert decide(seen, DEAD_AFTER_MS) is step


@pytest.mark.parametrize("step", [Step.DETACH, Step.ATTACH])
def test_a_leg_is_touched_only_when_it_is_agreed_that_its_copy_does_not_count(step: Step) -> None:
    touched = [seen for seen in ALL if decide(seen, DEAD_AFTER_MS) is step]
    assert touched
    assert {seen.counted for seen in touched} == {Counted.NO}


def test_a_copy_counts_only_while_md_says_that_it_is_in_sync_and_it_answers() -> None:
    included = [seen for seen in ALL if decide(seen, DEAD_AFTER_MS) is Step.INCLUDE]
    assert {seen.member for seen in included} == {Member.IN_SYNC}
    assert {seen.troubled_ms for seen in included} == {0}
    assert not any(seen.paused or seen.afresh or seen.slow for seen in included)


def test_no_leg_holds_writes_up_for_longer_than_dead_after() -> None:
    late = [seen for seen in ALL if seen.member is not Member.ABSENT and seen.troubled_ms >= DEAD_AFTER_MS]
    assert {decide(seen, DEAD_AFTER_MS) for seen in late} == {Step.EXCLUDE, Step.DETACH}


def test_tries_become_rarer_and_start_anew_after_one_that_worked() -> None:
    retry, now, waits = Retry(500, 1_000, 5_000), Instant(0), list[int]()
    for _ in range(5):
        assert retry.may_try(now)
        retry.failed(now)
        began = now
        while not retry.may_try(now):
            now = Instant(now + 100)
        waits.append(now - began)
    assert waits == [500, 1_000, 5_000, 5_000, 5_000]
    retry.failed(now)
    retry.over()
    assert retry.may_try(now)


def test_a_try_that_is_held_off_waits_unless_there_is_a_reason() -> None:
    retry = Retry(500)
    retry.hold(Instant(300_000))
    assert not retry.may_try(Instant(299_999))
    assert retry.may_try(Instant(300_000))
    retry.hold(Instant(600_000))
    retry.over()
    assert retry.may_try(Instant(300_000))
