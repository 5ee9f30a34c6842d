"""How a block device answers what it is asked, by looks at the kernel's counters.

Keeps: only /sys is read here, so a look never waits for the device. Source: Documentation/block/stat.rst.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

from agent.core.ids import Instant

_DONE = (0, 4, 11, 15)  # fields of `stat`: reads, writes, discards and flushes that were answered
_BUSY_MS = 9


class Answers(NamedTuple):
    """A device's counters at one time."""

    waiting: int = 0  # requests that it hasn't answered
    done: int = 0  # that it ever answered
    busy_ms: int = 0  # for how long it had anything to answer


def answers(device: str) -> Answers:
    """Of a device such as "nbd0" or "vda1"; all 0 when it has gone."""
    directory = Path("/sys/class/block") / device
    try:
        waiting = sum(map(int, (directory / "inflight").read_text().split()))
        fields = [int(field) for field in (directory / "stat").read_text().split()]
    except OSError:
        return Answers()
    done = sum(fields[at] for at in _DONE if at < len(fields))  # older kernels count less
    return Answers(waiting, done, fields[_BUSY_MS])


class Stall:
    """For how long a device has had requests and answered none.

    Who looks may have been stopped, and the machine with it: then nobody was waiting.
    """

    def __init__(self, longest_gap_ms: int) -> None:
        self._longest_gap_ms = longest_gap_ms
        self._looked_at: Instant | None = None
        self._done = 0
        self.ms = 0

    def look(self, now: Instant, seen: Answers) -> int:
        """The stall so far in milliseconds."""
        if self._looked_at is None or seen.waiting == 0 or seen.done != self._done:
            self.ms = 0
        else:
            self.ms += max(1, min(now - self._looked_at, self._longest_gap_ms))
        self._looked_at, self._done = now, seen.done
        return self.ms


class Pace:
    """How long a device that does answer takes for it, and whether that is too long.

    Counted is the time in which it had something to do, shared among its answers: a long queue alone makes
    nobody slow. What it is judged by is asked within the window, not before it.
    """

    WINDOW_MS = 5_000
    LEAST = 6  # answers, for one may be late; a window is as long as it takes to get them, up to
    LONGEST_MS = 60_000

    def __init__(self, longest_gap_ms: int, slow_after_ms: int) -> None:
        self._longest_gap_ms, self._slow_after_ms = longest_gap_ms, slow_after_ms
        self._looks: deque[tuple[Instant, Answers]] = deque()
        self._looked_at: Instant | None = None
        self._asked_before = 0  # so many answers are to what was asked before the window
        self.slow_ms = 0  # the mean, since it became too long; while nothing is asked that is still known

    def look(self, now: Instant, seen: Answers, other_ms: int | None = 0) -> None:
        """Called every fraction of a second; `other_ms` is what another device takes, None: nobody knows.

        After a longer gap, and with another device, it begins anew.
        """
        gap = self._looked_at is None or now - self._looked_at > self._longest_gap_ms
        if gap or (self._looks and seen.done < self._looks[-1][1].done):
            self._looks.clear()
            self._asked_before = seen.done + seen.waiting
        self._looked_at = now
        if not self._looks and seen.done < self._asked_before:
            return
        self._looks.append((now, seen))
        while self._is_too_long(now, seen):
            self._looks.popleft()
        self._judge(other_ms)

    @property
    def ms(self) -> int | None:
        """The mean of the window; None: it isn't full yet."""
        if not self._looks:
            return None
        (began, first), (now, last) = self._looks[0], self._looks[-1]
        answered = last.done - first.done
        if now - began < self.WINDOW_MS or answered < self.LEAST:
            return None
        return (last.busy_ms - first.busy_ms) // answered

    def _is_too_long(self, now: Instant, seen: Answers) -> bool:
        """Would the window without its first look do?"""
        if len(self._looks) < 2:
            return False
        if now - self._looks[0][0] > self.LONGEST_MS:
            return True
        second_at, second = self._looks[1]
        return now - second_at >= self.WINDOW_MS and seen.done - second.done >= self.LEAST

    def _judge(self, other_ms: int | None) -> None:
        """Slow is what takes too long and twice as long as the other; half of that is quick again."""
        mean = self.ms
        if mean is None or other_ms is None:
            return
        if mean < max(self._slow_after_ms // 2, other_ms):
            self.slow_ms = 0
        elif self.slow_ms or mean >= max(self._slow_after_ms, 2 * other_ms):
            self.slow_ms = mean
