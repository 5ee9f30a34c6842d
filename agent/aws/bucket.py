"""A limit of our own on how often AWS is called: a fault in one kit must not use up the account's.

AWS counts the calls of an account and region, for each kind of call in a bucket: EC2 gives 100 at once and
20 a second for those that describe, 50 and 5 for those that change (EC2 API reference, "Request throttling").
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Rate:
    """So many at once, and so many a second in the long run."""

    burst: int
    per_s: float


READS = Rate(burst=50, per_s=10.0)  # half of EC2's: the other nodes and everybody else have the rest
CHANGES = Rate(burst=50, per_s=5.0)  # as EC2: a failover isn't to be slower than AWS itself would be


class Bucket:
    """Tokens that fill up again. Who comes when it is empty is told how long to wait, in order of coming."""

    def __init__(self, rate: Rate, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock_s = rate, clock_s
        self._tokens, self._at_s = float(rate.burst), clock_s()

    def take(self, patience_s: float) -> float | None:
        """Take a token: how long to wait for it, in seconds; None, and none is taken, if that is too long."""
        now_s = self._clock_s()
        self._tokens = min(self._rate.burst, self._tokens + (now_s - self._at_s) * self._rate.per_s)
        self._at_s = now_s
        wait_s = max(0.0, (1 - self._tokens) / self._rate.per_s)
        if wait_s > patience_s:
            return None
        self._tokens -= 1
        return wait_s
