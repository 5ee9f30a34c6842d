"""For each AWS kit, for what goes wrong, for each action: what the agent is told.

Nowhere is it told FAILED for want of an answer, and taking something out of service always works. A check
can't know an old answer for one: it says FAILED, and the repair that follows writes what is so already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Aws, Identity
from recovery_kits.registry import kits
from tests.aws_faults.bench import CHANGES, LIMIT_MS, READS, Bench
from tests.aws_server import Rule

BEYOND_S = 1.3 * LIMIT_MS / 1_000
FAULTS: dict[str, Callable[[str], list[Rule]]] = {
    "throttled": lambda kind: [Rule(fault="error")],
    "throttled once": lambda kind: [Rule(fault="error", left=1)],
    "5xx": lambda kind: [Rule(fault="error", status=500, code="InternalError")],
    "slow": lambda kind: [Rule(delay_after_s=BEYOND_S)],
    "hangs": lambda kind: [Rule(fault="hang")],
    "dropped before": lambda kind: [Rule(fault="drop-before")],
    "dropped after": lambda kind: [Rule(fault="drop-after")],
    "change's reply lost": lambda kind: [Rule(operation=CHANGES[kind], fault="drop-after", left=1)],
    "changes throttled": lambda kind: [Rule(operation=CHANGES[kind], fault="error")],
    "stale reads": lambda kind: [Rule(operation=each, fault="stale", left=1) for each in READS],
}
TABLE = """
                         restore    quick_check  remove
    throttled            UNKNOWN    UNKNOWN      OK
    throttled once       OK         UNKNOWN      OK
    5xx                  UNKNOWN    UNKNOWN      OK
    slow                 UNKNOWN    UNKNOWN      OK
    hangs                UNKNOWN    UNKNOWN      OK
    dropped before       UNKNOWN    UNKNOWN      OK
    dropped after        UNKNOWN    UNKNOWN      OK
    change's reply lost  OK         OK           OK
    changes throttled    UNKNOWN    OK           OK
    stale reads          OK         FAILED       OK
"""
ASK_IMDS = {"ebs", "eni", "target-group"}
ROWS = {
    fault: tuple(outcomes)
    for fault, *outcomes in (line.strip().rsplit(maxsplit=3) for line in TABLE.splitlines()[2:])
}


def test_every_kit_that_uses_aws_is_in_the_table() -> None:
    assert {kind for kind, kit in kits().items() if kit.aws_services} <= CHANGES.keys()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", CHANGES)
def test_what_the_agent_is_told(bench: Bench, kind: str, fault: str) -> None:
    def told(action: str) -> str:
        bench.meet(*FAULTS[fault](kind))
        outcome = bench.outcome(action)
        bench.meet()
        return outcome

    bench.outcome("quick_check")  # it is elsewhere yet
    bench.server.control.mark()  # so a stale read is answered, later
    restored = told("restore")
    assert bench.outcome("restore") == "OK"
    assert (restored, told("quick_check"), told("remove")) == ROWS[fault]
    assert bench.outcome("restore") == "OK"
    assert bench.outcome("quick_check") == "OK"


@pytest.mark.parametrize("kind", CHANGES)
def test_without_imds_nobody_can_tell_unless_the_configuration_says_all(bench: Bench, kind: str) -> None:
    assert bench.outcome("restore") == "OK"
    tools = bench.kit.tools
    object.__setattr__(tools, "aws", WithoutImds(tools.aws))  # what a kit is made of keeps its tools too
    expected = "UNKNOWN" if kind in ASK_IMDS else "OK"
    assert [bench.outcome(each) for each in ("restore", "quick_check")] == [expected] * 2
    assert bench.outcome("remove") == "OK"


class WithoutImds:
    """A session whose machine can't be asked who it is."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self.refresh_identity = self.identity

    def __getattr__(self, name: str) -> Any:
        return getattr(self._aws, name)

    async def identity(self) -> Identity:
        raise AwsError(AwsFault.NETWORK, "instance metadata", "TimedOut", "no answer within 3 s")
