"""When the guardian acts: its loop with a clock of its own, so that a machine can stand still."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from agent.fencing import guardian
from agent.fencing.guardian import DISARMED, HORIZON_MS, LATE_MS, RETIRE, Memory, Sleep, Told, watch

GRACE_MS = 300


class Fenced(Exception):
    """The node is no more."""


class Machine(Sleep, Memory):
    """Its memory, its sleep and its clock; `script` holds what happens in each sleep."""

    def __init__(self, instant: int, *script: Callable[[Machine, int], None]) -> None:
        self.now, self.instant, self.agent_there, self._script = 1_000, instant, True, list(script)
        self.told = Told(b"\0".join((b"1", b"%d" % GRACE_MS, b"10000", b"", b"", b"reboot")))

    def look(self, now: int) -> int:
        assert now == self.now
        return self.instant

    def until(self, due_ms: int | None) -> bool:
        if self._script:
            self._script.pop(0)(self, due_ms or 0)
        else:
            assert due_ms is not None, "it sleeps for ever"
            self.now = max(self.now, due_ms)
        return self.agent_there


@pytest.fixture
def fenced_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machine], int]:
    """Let it watch until it acts, and tell when."""

    def act(told: Told, reason: str) -> NoReturn:
        raise Fenced(reason)

    def run(machine: Machine) -> int:
        monkeypatch.setattr(guardian, "now_ms", lambda: machine.now)
        with pytest.raises(Fenced):
            watch(machine, machine)
        return machine.now

    monkeypatch.setattr(guardian, "fence", act)
    return run


def stand_still(by_ms: int) -> Callable[[Machine, int], None]:
    """Wake that much later than meant."""

    def happen(machine: Machine, due: int) -> None:
        machine.now = due + by_ms

    return happen


def renew(instant: int, after_ms: int = 0, *, wake: bool = False) -> Callable[[Machine, int], None]:
    """The agent writes another instant; it wakes the guardian, or lets it sleep."""

    def happen(machine: Machine, due: int) -> None:
        machine.instant = instant
        machine.now = machine.now + after_ms if wake else due

    return happen


def test_awake_in_time_it_acts_at_the_instant(fenced_at: Callable[[Machine], int]) -> None:
    assert fenced_at(Machine(3_000)) == 3_000
    assert fenced_at(Machine(3_000, stand_still(LATE_MS))) == 3_000 + LATE_MS


def test_renewed_it_sleeps_on_until_the_newer_instant(fenced_at: Callable[[Machine], int]) -> None:
    assert fenced_at(Machine(3_000, renew(4_000), renew(5_000))) == 5_000


def test_an_earlier_instant_counts_at_once(fenced_at: Callable[[Machine], int]) -> None:
    assert fenced_at(Machine(3_000, renew(2_000, after_ms=10, wake=True))) == 2_000
    assert fenced_at(Machine(3_000, renew(900, after_ms=10, wake=True))) == 1_010


def test_after_a_standstill_the_agent_has_the_grace_to_renew(fenced_at: Callable[[Machine], int]) -> None:
    woke = 3_000 + 60_000
    assert fenced_at(Machine(3_000, stand_still(60_000))) == woke + GRACE_MS
    assert fenced_at(Machine(3_000, stand_still(60_000), renew(woke + 2_000))) == woke + 2_000


def test_a_poke_neither_ends_the_grace_nor_makes_it_longer(fenced_at: Callable[[Machine], int]) -> None:
    poke = renew(2_999, after_ms=50, wake=True)
    assert fenced_at(Machine(3_000, stand_still(60_000), poke, poke)) == 63_000 + GRACE_MS


def test_a_standstill_within_the_grace_gives_another(fenced_at: Callable[[Machine], int]) -> None:
    first = 3_000 + 60_000 + GRACE_MS
    machine = Machine(3_000, stand_still(60_000), stand_still(9_000))
    assert fenced_at(machine) == first + 9_000 + GRACE_MS


def test_a_standstill_with_nothing_in_service_gives_no_grace(fenced_at: Callable[[Machine], int]) -> None:
    armed_in_the_past = renew(50_000, after_ms=60_000, wake=True)
    assert fenced_at(Machine(DISARMED, armed_in_the_past)) == 61_000


def test_it_ends_when_told_to_or_when_nothing_is_left_to_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(machine: Machine, due: int) -> None:
        machine.agent_there = False

    for machine in (Machine(3_000, renew(RETIRE)), Machine(DISARMED, gone), Machine(3_000, renew(0), gone)):
        monkeypatch.setattr(guardian, "now_ms", lambda machine=machine: machine.now)
        watch(machine, machine)


def test_an_agent_that_is_gone_does_not_end_what_is_armed(fenced_at: Callable[[Machine], int]) -> None:
    machine = Machine(3_000)
    machine.agent_there = False
    assert fenced_at(machine) == 3_000


def test_the_newest_instant_that_can_be_right_counts(tmp_path: Path) -> None:
    path = tmp_path / "memory"
    told = b"\0".join((b"1", b"100", b"10000", b"", b"", b"command,reboot", b"/bin/x", b"a b", b""))
    path.write_bytes((5_000).to_bytes(8, "little") + bytes(8) + told)
    with path.open("r+b", buffering=0) as file:
        memory = Memory(file.fileno())
        assert memory.told.order == ["command", "reboot"]
        assert memory.told.command == [b"/bin/x", b"a b", b""]
        assert memory.look(1_000) == 5_000
        for garbage in (2**63, 1_001 + HORIZON_MS):
            put(file.fileno(), garbage)
            assert memory.look(1_000) == 5_000
        file.truncate(3)
        assert memory.look(1_000) == 5_000
        put(file.fileno(), 6_000)
        assert memory.look(1_000) == 6_000
        put(file.fileno(), RETIRE)
        assert memory.look(1_000) == RETIRE


def put(file: int, word: int) -> None:
    os.pwrite(file, word.to_bytes(8, "little"), 0)
