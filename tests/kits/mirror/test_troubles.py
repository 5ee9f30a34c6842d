"""For how long a leg is said not to have answered."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from agent.core.ids import Instant
from recovery_kits.mirror.answers import Answers
from recovery_kits.mirror.link import Link
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.troubles import Troubles

DEAD_AFTER_MS, KERNEL_WAITS_MS, LOOK_MS = 10_000, 4_000, 200


class Leg:
    """One that is looked at, and what the kernel says of it."""

    def __init__(self) -> None:
        place = SimpleNamespace(dead_after_ms=DEAD_AFTER_MS, slow_after_ms=100, drops_slow=False)
        self._troubles = Troubles(cast(Place, place), lambda: None)
        self.now, self.waiting, self.done, self.dead = Instant(1_000_000), 0, 0, False

    def pass_ms(self, ms: int, *, answered_each: int = 0) -> int:
        """Look at it for so long; its trouble by then, in milliseconds."""
        for _ in range(0, ms, LOOK_MS):
            self.now, self.done = Instant(self.now + LOOK_MS), self.done + answered_each
            self.look()
        return self._troubles.ms

    def attached(self) -> None:
        """It has a new device, which has answered nothing yet."""
        self._troubles.attached()
        self.done = 0

    def look(self) -> int:
        """Once, now."""
        link = SimpleNamespace(
            answers=lambda: Answers(self.waiting, self.done), dead=self.dead, heard_all=True
        )
        self._troubles.look(self.now, cast(Link, link), whole=True, excluded=False)
        return self._troubles.ms


def test_a_flush_that_waits_is_seen_when_the_link_dies_of_it_and_counts_from_its_last_answer() -> None:
    leg = Leg()
    leg.pass_ms(5_000, answered_each=3)
    assert leg.pass_ms(KERNEL_WAITS_MS - LOOK_MS) == 0  # a flush waits, which is in no counter
    leg.dead = True
    assert leg.pass_ms(LOOK_MS) == KERNEL_WAITS_MS + 1
    assert leg.pass_ms(DEAD_AFTER_MS - KERNEL_WAITS_MS) == DEAD_AFTER_MS + 1


def test_a_busy_link_that_dies_at_once_is_silent_since_then() -> None:
    leg = Leg()
    leg.pass_ms(5_000, answered_each=3)
    leg.dead = True
    assert leg.look() == 1


def test_an_idle_link_that_dies_was_silent_for_no_longer_than_the_kernel_waits() -> None:
    leg = Leg()
    leg.pass_ms(60_000)
    leg.dead = True
    assert leg.look() == KERNEL_WAITS_MS + 1


def test_a_new_device_that_dies_at_once_was_not_silent_before() -> None:
    leg = Leg()
    leg.pass_ms(60_000)
    leg.attached()
    leg.dead = True
    assert leg.pass_ms(LOOK_MS) == 1


def test_time_in_which_nobody_looked_is_held_against_nobody() -> None:
    leg = Leg()
    leg.pass_ms(5_000, answered_each=3)
    leg.now, leg.dead = Instant(leg.now + 60_000), True
    assert leg.look() == 1


def test_a_new_connection_is_no_answer_but_what_comes_over_it_is() -> None:
    leg = Leg()
    leg.pass_ms(5_000, answered_each=3)
    leg.dead = True
    leg.pass_ms(1_000)
    leg.dead = False
    assert leg.pass_ms(1_000) == 2_000 + 1
    assert leg.pass_ms(LOOK_MS, answered_each=1) == 0
