"""The guardian and the watchdog of a running agent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.core.effects import Kind, Severity
from agent.runtime.clock import boottime_ms
from agent.runtime.lifeline import Lifeline
from tests.runtime.inside import read_config, write_config
from tests.runtime.waiting import on_loop


@on_loop
async def test_where_there_is_nothing_to_guard_it_sleeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, rounds = list[str](), list[float]()

    def tell(kind: Kind, severity: Severity, text: str) -> None:
        said.append(f"{kind.value} {severity.value} {text}")

    lifeline = Lifeline(read_config(write_config(tmp_path)), tmp_path / "guard", boottime_ms, tell)
    sleep = asyncio.sleep

    async def counted(delay_s: float) -> None:
        rounds.append(delay_s)
        await sleep(delay_s)

    monkeypatch.setattr(asyncio, "sleep", counted)
    await lifeline.start()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(lifeline.run(), 0.05)
    assert len(rounds) == 1
    assert rounds[0] >= 1
    assert said == []
    await lifeline.close(disarm=True)
