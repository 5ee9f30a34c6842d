"""Which calls go wrong, and how; and the journal of all calls."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

Fault = Literal["none", "error", "drop-before", "drop-after", "late", "hang", "stale"]
JOURNAL_LENGTH = 10_000


@dataclass(kw_only=True)
class Rule:
    """What happens to the calls it matches. The delays of all matching rules add up, the first fault wins.

    A "late" call waits for `Control.release_late` before it is applied: by then its caller may have
    given up. So does a `delay_before_s` longer than the caller's patience. A "stale" call is answered as the
    same request was before `Control.mark`, by a server that hasn't heard of what happened since: for reads.
    """

    operation: str = "*"  # glob: "ec2:ReplaceRoute"; S3 and Route 53 read "s3:PUT /bucket/key"
    key: str = "*"  # glob of the access key id: a key for each node cuts off one node
    body: str = ""  # text that the request must contain, e.g. a route table's id
    fault: Fault = "none"  # error: refused; drop-*: no reply, applied or not; hang: never a reply
    status: int = 503  # of an error
    code: str = "RequestLimitExceeded"
    delay_before_s: float = 0.0
    delay_after_s: float = 0.0
    left: int | None = None  # how many calls it still applies to; None: all

    def __post_init__(self) -> None:
        """Refuse a fault that the server doesn't know, which would silently do nothing."""
        if self.fault not in get_args(Fault):
            raise ValueError(f"fault {self.fault!r} is none of {', '.join(get_args(Fault))}")

    def matches(self, operation: str, key: str, body: str) -> bool:
        """Whether it applies to this call."""
        wanted = fnmatchcase(operation, self.operation) and fnmatchcase(key, self.key) and self.body in body
        return wanted and self.left != 0


def throttle(operation: str = "*", *, left: int | None = None, body: str = "") -> Rule:
    """EC2's answer to too many requests."""
    return Rule(operation=operation, fault="error", left=left, body=body)


def latency(delay_s: float, operation: str = "*") -> Rule:
    """Every reply takes so much longer; calls in parallel wait in parallel."""
    return Rule(operation=operation, delay_after_s=delay_s)


@dataclass(frozen=True)
class Call:
    """One request that arrived."""

    at_s: float  # Unix time
    key: str  # access key id
    operation: str
    fault: Fault


@dataclass(frozen=True)
class Plan:
    """What is to happen to one call."""

    fault: Fault = "none"
    status: int = 200
    code: str = ""
    delay_before_s: float = 0.0
    delay_after_s: float = 0.0


class Faults:
    """The rules in force and the journal; used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._journal: deque[Call] = deque(maxlen=JOURNAL_LENGTH)

    def set(self, rules: Sequence[Rule]) -> None:
        """Put these rules in the place of all others."""
        with self._lock:
            self._rules = list(rules)

    def rules(self) -> list[Rule]:
        """The rules in force, with what is left of each."""
        with self._lock:
            return list(self._rules)

    def journal(self) -> list[Call]:
        """All calls since the last `forget`, oldest first, at most 10,000."""
        with self._lock:
            return list(self._journal)

    def forget(self) -> None:
        """Drop rules and journal."""
        with self._lock:
            self._rules.clear()
            self._journal.clear()

    def plan(self, operation: str, key: str, body: str) -> Plan:
        """Write the call to the journal and say what is to happen to it."""
        with self._lock:
            matching = [rule for rule in self._rules if rule.matches(operation, key, body)]
            for rule in matching:
                if rule.left is not None:
                    rule.left -= 1
            wrong = next((rule for rule in matching if rule.fault != "none"), Rule(status=200, code=""))
            self._journal.append(Call(time.time(), key, operation, wrong.fault))
            return Plan(
                fault=wrong.fault,
                status=wrong.status,
                code=wrong.code,
                delay_before_s=sum(rule.delay_before_s for rule in matching),
                delay_after_s=sum(rule.delay_after_s for rule in matching),
            )
