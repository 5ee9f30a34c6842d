"""What is told of a block device by looks at its counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.ids import Instant
from recovery_kits.mirror.answers import Answers, Pace, Stall, answers

LOOK_MS = 200


def test_a_device_that_has_gone_has_answered_nothing() -> None:
    assert answers("nbd4711") == Answers(0, 0, 0)


def test_the_kernels_counters_of_real_devices_are_read() -> None:
    devices = list(Path("/sys/class/block").iterdir())
    assert devices
    for device in devices:
        fields = [int(field) for field in (device / "stat").read_text().split()]
        found = answers(device.name)
        assert found.done >= fields[0] + fields[4]
        assert found.busy_ms >= fields[9]


def test_a_kernel_that_counts_neither_discards_nor_flushes_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "vda"
    device.mkdir()
    (device / "stat").write_text("3 0 24 30 4 0 32 70 2 90 100\n")
    (device / "inflight").write_text("       1        1\n")
    monkeypatch.setattr("recovery_kits.mirror.answers.Path", lambda _: tmp_path)
    assert answers("vda") == Answers(waiting=2, done=7, busy_ms=90)
    (device / "stat").write_text("3 0 24 30 4 0 32 70 2 90 100 5 0 40 500 6 600\n")
    assert answers("vda") == Answers(waiting=2, done=18, busy_ms=90)
    (device / "stat").unlink()
    assert answers("vda") == Answers()


def test_a_stall_is_the_time_without_an_answer_to_what_was_asked() -> None:
    stall = Stall(longest_gap_ms=500)
    assert stall.look(Instant(1_000), Answers(waiting=3, done=7)) == 0
    assert stall.look(Instant(1_200), Answers(waiting=3, done=7)) == 200
    assert stall.look(Instant(1_400), Answers(waiting=9, done=7)) == 400
    assert stall.look(Instant(1_600), Answers(waiting=9, done=8)) == 0  # one was answered
    assert stall.look(Instant(1_800), Answers(waiting=8, done=8)) == 200
    assert stall.look(Instant(2_000), Answers(waiting=0, done=16)) == 0
    assert stall.look(Instant(2_200), Answers(waiting=0, done=16)) == 0  # idle is no stall


def test_time_in_which_nobody_looked_counts_only_up_to_a_bound() -> None:
    stall = Stall(longest_gap_ms=500)
    stall.look(Instant(1_000), Answers(waiting=1))
    assert stall.look(Instant(61_000), Answers(waiting=1)) == 500


class Device:
    """Counters that a `Pace` looks at."""

    def __init__(self) -> None:
        self.now, self.done, self.busy_ms, self.waiting = Instant(50_000), 1_000, 9_000, 0
        self.pace = Pace(longest_gap_ms=600, slow_after_ms=500)
        self.other_ms: int | None = 1
        self.look()

    def answer(self, each_ms: int, for_ms: int, at_once: int = 1) -> None:
        """`at_once` requests, each answered after so long; then as many again."""
        for passed_ms in range(LOOK_MS, for_ms + LOOK_MS, LOOK_MS):
            self.now = Instant(self.now + LOOK_MS)
            if passed_ms % each_ms < LOOK_MS:
                self.done, self.busy_ms = self.done + at_once, self.busy_ms + each_ms
            self.look()

    def rest(self, for_ms: int) -> None:
        """Nothing is asked."""
        for _ in range(0, for_ms, LOOK_MS):
            self.now = Instant(self.now + LOOK_MS)
            self.look()

    def mean_ms(self) -> int | None:
        return self.pace.ms

    def look(self) -> None:
        self.pace.look(self.now, Answers(self.waiting, self.done, self.busy_ms), self.other_ms)


@pytest.fixture
def device() -> Device:
    return Device()


def test_the_pace_is_the_mean_of_five_seconds(device: Device) -> None:
    device.answer(800, 4_800)
    assert device.mean_ms() is None  # what is seen for a moment tells little
    device.answer(800, 4_800)
    assert device.mean_ms() == 800
    device.answer(200, 6_000)
    assert device.mean_ms() == 200


def test_a_queue_makes_nobody_slow(device: Device) -> None:
    device.answer(2_000, 20_000, at_once=100)
    assert device.pace.ms == 20


def test_a_device_that_is_asked_little_is_judged_by_a_few_answers(device: Device) -> None:
    for _ in range(5):
        device.answer(3_000, 3_000)
        device.rest(6_000)
        assert device.pace.slow_ms == 0
    device.answer(3_000, 3_000)
    assert device.pace.slow_ms == 3_000


def test_one_late_answer_is_no_slowness(device: Device) -> None:
    device.answer(200, 6_000)
    device.answer(1_800, 1_800)
    device.rest(30_000)
    device.answer(200, 1_000)
    assert device.pace.slow_ms == 0


def test_what_was_slow_is_slow_while_nothing_is_asked_and_until_it_is_clearly_quicker(device: Device) -> None:
    device.answer(800, 10_000)
    assert device.pace.slow_ms
    device.rest(120_000)
    assert device.pace.slow_ms
    device.answer(400, 10_000)
    assert device.pace.slow_ms == 400
    device.answer(200, 10_000)
    assert device.pace.slow_ms == 0
    device.answer(400, 10_000)
    assert device.pace.slow_ms == 0


def test_a_time_in_which_nobody_looked_and_what_waited_over_it_count_for_nothing(device: Device) -> None:
    device.answer(200, 6_000)
    device.waiting = 3
    device.now = Instant(device.now + 10_000)  # suspended
    device.look()
    device.waiting, device.done, device.busy_ms = 0, device.done + 3, device.busy_ms + 10_000
    device.answer(200, 10_000)
    assert device.pace.slow_ms == 0
    assert device.pace.ms == 200


def test_another_device_begins_anew(device: Device) -> None:
    device.answer(200, 6_000)
    device.done = device.busy_ms = 0
    device.look()
    assert device.pace.ms is None


@pytest.mark.parametrize(("other_ms", "is_slow"), [(0, True), (400, True), (401, False), (None, False)])
def test_a_device_is_slow_only_beside_one_that_is_quicker(
    device: Device, other_ms: int | None, is_slow: bool
) -> None:
    device.other_ms = other_ms
    device.answer(800, 9_600)
    assert bool(device.pace.slow_ms) is is_slow


def test_the_looks_that_are_kept_are_bounded(device: Device) -> None:
    device.rest(600_000)
    assert len(device.pace._looks) <= Pace.LONGEST_MS // LOOK_MS + 2
