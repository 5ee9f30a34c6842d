"""How a block device answers what it is asked, by looks at the kernel's counters.

Keeps: only /sys is read here, so a look never waits for the device. Source: Documentation/block/stat.rst.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

from agent.core.ids import Instant

_READS, _WRITES, _DISCARDS, _FLUSHES = 0, 4, 11, 15  # fields of `stat`: how many were answered
_UNTIL_ANSWERED = 3  # so many fields further: for how long those waited altogether, in milliseconds
_FLUSH_WAITED = 16


class Answers(NamedTuple):
    """A device's counters at one time."""

    waiting: int = 0  # requests that it hasn't answered
    done: int = 0  # that it ever answered
    waited_ms: int = 0  # for how long those waited, added up


def answers(device: str) -> Answers:
    """Of a device such as "nbd0" or "vda1"; all 0 when it has gone."""
    directory = Path("/sys/class/block") / device
    try:
        waiting = sum(map(int, (directory / "inflight").read_text().split()))
        fields = [int(field) for field in (directory / "stat").read_text().split()]
    except OSError:
        return Answers()
    fields += [0] * (_FLUSH_WAITED + 1 - len(fields))  # older kernels count less
    counted = (_READS, _WRITES, _DISCARDS)
    done = sum(fields[at] for at in (*counted, _FLUSHES))
    return Answers(waiting, done, sum(fields[at + _UNTIL_ANSWERED] for at in counted) + fields[_FLUSH_WAITED])


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
    """How long a device takes for an answer: it does answer, and yet may hold up whoever waits for it."""

    WINDOW_MS = 5_000

    def __init__(self, longest_gap_ms: int) -> None:
        self._longest_gap_ms = longest_gap_ms
        self._looks: deque[tuple[Instant, Answers]] = deque()  # of the window, the oldest just outside

    def look(self, now: Instant, seen: Answers) -> None:
        """Called every fraction of a second; after a longer gap it begins anew, as with another device."""
        looks = self._looks
        if looks and (now - looks[-1][0] > self._longest_gap_ms or seen.done < looks[-1][1].done):
            looks.clear()
        looks.append((now, seen))
        while len(looks) > 1 and now - looks[1][0] >= self.WINDOW_MS:
            looks.popleft()

    @property
    def is_known(self) -> bool:
        """Has it been looked at for a whole window?"""
        return bool(self._looks) and self._looks[-1][0] - self._looks[0][0] >= self.WINDOW_MS

    @property
    def ms(self) -> int | None:
        """The mean of what was answered within the window; None: nothing was, or it isn't full yet."""
        if not self.is_known:
            return None
        first, last = self._looks[0][1], self._looks[-1][1]
        answered = last.done - first.done
        return (last.waited_ms - first.waited_ms) // answered if answered else None

    def slow_ms(self, after_ms: int, other: Pace | None = None) -> int:
        """The same if it is `after_ms` or more, and twice as long as the other device takes; else 0."""
        mine = self.ms or 0
        if other is not None:
            if not other.is_known:
                return 0
            after_ms = max(after_ms, 2 * (other.ms or 0))
        return mine if mine >= after_ms else 0
