"""What is wrong with a leg: for how long it hasn't answered, or how late it answers.

Keeps: what a new connection held up, a copy under way, or a time in which nobody looked makes no leg slow.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.core.ids import Instant, later
from recovery_kits.mirror.answers import Pace, Stall
from recovery_kits.mirror.link import Link
from recovery_kits.mirror.place import Place

POLL_S = 0.2  # between two looks
LONGEST_GAP_MS = 600  # after a longer one this machine, or we, had been stopped
_RESENT_MS = 1_500  # after another connection is found: the kernel sends again what waits, by whole seconds


class Troubles:
    """Of one leg, by looks at its link."""

    def __init__(self, place: Place, disk_ms: Callable[[], int | None]) -> None:
        """`disk_ms`: what this node's disk takes for an answer; None: nobody knows."""
        self._place, self._disk_ms = place, disk_ms
        self._stall, self._pace = Stall(LONGEST_GAP_MS), self._new_pace()
        self._dead_since: Instant | None = None
        self._looked_at: Instant | None = None
        self._answered_at: Instant | None = None  # last, or when nobody had looked for a while
        self._done = 0  # requests answered by the last look
        self._done_then = 0  # and when the link died
        self._reconnected = False  # in the trouble that it has now
        self.ms = 0  # for how long it hasn't answered; 0: it does
        self.too_slow_ms = 0  # what an answer took when it was decided to do without it

    @property
    def answer_ms(self) -> int | None:
        """What it takes for an answer on average; None: it was asked too little."""
        return self._pace.ms

    @property
    def slow_ms(self) -> int:
        """The same if that is too long; else 0."""
        return self._pace.slow_ms

    @property
    def dead_after_ms(self) -> int:
        """For how long it may hold writes up now."""
        more_ms = _RESENT_MS if self._reconnected else 0  # once, and below what writes may wait
        return self._place.dead_after_ms + more_ms

    def look(self, now: Instant, link: Link, *, whole: bool, excluded: bool) -> None:
        """`whole`: md has it, in sync; `excluded`: it is agreed that its copy doesn't count."""
        seen = link.answers()
        stalled_ms = self._stall.look(now, seen)
        if not link.heard_all and stalled_ms > self._place.dead_after_ms // 2:
            link.dead = True  # as far as can be known: that it died may have been told to nobody
        self.ms = max(stalled_ms, self._silent_ms(now, link, seen.done))
        self._reconnected = self._reconnected and self.ms > 0
        if not whole or self._dead_since is not None or self._reconnected:
            self._pace = self._new_pace()
            return
        self._pace.look(now, seen, self._disk_ms())
        if self._place.drops_slow and not excluded:
            self.too_slow_ms = self._pace.slow_ms  # once it is agreed, it is done

    def reconnected(self) -> None:
        """It has another connection; whether that answers will be seen."""
        self._reconnected = True

    def attached(self) -> None:
        """It has a new device."""
        self._dead_since = self._answered_at = None

    def _silent_ms(self, now: Instant, link: Link, done: int) -> int:
        """Since the link died until something is answered again: a new connection alone is no answer.

        Requests that only flush are in no counter while they wait, so a stall needn't be seen. A link that
        died of one was silent before: since its last answer, or for as long as the kernel waits for one. That
        an idle one wasn't can't be told; it keeps the better part of the time for another connection.
        """
        answered_at = self._answered(now, done)
        if link.dead:
            silent_since = max(answered_at, later(now, -self._place.dead_after_ms * 2 // 5))
            self._dead_since, self._done_then = self._dead_since or silent_since, done
        elif done > self._done_then:
            self._dead_since = None
        return 0 if self._dead_since is None else now - self._dead_since + 1

    def _answered(self, now: Instant, done: int) -> Instant:
        """When it last answered something, as far as it was looked at."""
        gap = self._looked_at is None or now - self._looked_at > LONGEST_GAP_MS
        if gap or self._answered_at is None or done != self._done:
            self._answered_at = now
        self._looked_at, self._done = now, done
        return self._answered_at

    def _new_pace(self) -> Pace:
        return Pace(LONGEST_GAP_MS, self._place.slow_after_ms)
