"""What a kit asks of AWS while nothing happens: one call every half minute, by the owner's kit alone.

So each resource in AWS costs its whole cluster two calls a minute; that only the owner looks is shown by
tests/simulation/test_steady_state.py. Two APIs tell of one thing at a time: there it is two calls a minute
for each target group, and for each of a transit gateway's route tables.
"""

from __future__ import annotations

import pytest

from tests.aws_faults.bench import CHANGES, Bench

CALLS = {"target-group": 2, "transit-gateway-route": 2}  # both scenes have two of them; else 1


@pytest.mark.parametrize("kind", CHANGES)
def test_a_look_is_one_call_for_each_thing_and_taken_twice_a_minute_at_most(bench: Bench, kind: str) -> None:
    assert bench.outcome("restore") == "OK"
    assert bench.outcome("quick_check") == "OK"  # it may learn something then that it keeps
    bench.server.forget_calls()
    for looks in range(1, 4):
        assert bench.outcome("quick_check") == "OK"
        assert len(bench.operations()) == looks * CALLS.get(kind, 1), bench.operations()
    assert bench.kit.default_check_interval_ms >= 30_000
