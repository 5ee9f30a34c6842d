"""What is told of a block device by looks at its counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.core.ids import Instant
from recovery_kits.mirror.answers import Answers, Pace, Stall, answers

LOOK_MS = 200


def test_a_device_that_has_gone_has_answered_nothing() -> None:
    assert answers("nbd4711") == Answers(0, 0, 0)


def test_the_kernels_counters_of_a_real_device_are_read() -> None:
    for each in Path("/sys/class/block").iterdir():
        fields = (each / "stat").read_text().split()
        found = answers(each.name)
        assert found.done >= int(fields[0]) + int(fields[4])
        assert found.waited_ms >= int(fields[3]) + int(fields[7])


def test_a_kernel_that_counts_neither_discards_nor_flushes_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "vda"
    device.mkdir()
    (device / "stat").write_text("3 0 24 30 4 0 32 70 2 90 100\n")
    (device / "inflight").write_text("       1        1\n")
    monkeypatch.setattr("recovery_kits.mirror.answers.Path", lambda _: tmp_path)
    assert answers("vda") == Answers(waiting=2, done=7, waited_ms=100)
    (device / "stat").write_text("3 0 24 30 4 0 32 70 2 90 100 5 0 40 500 6 600\n")
    assert answers("vda") == Answers(waiting=2, done=18, waited_ms=1_200)
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
        self.now, self.done, self.waited_ms = Instant(50_000), 1_000, 9_000
        self.pace = Pace(longest_gap_ms=600)

    def answer(self, for_ms: int, each_ms: int) -> None:
        """Five requests a second, each after so long."""
        for _ in range(for_ms // LOOK_MS):
            self.now = Instant(self.now + LOOK_MS)
            self.done, self.waited_ms = self.done + 1, self.waited_ms + each_ms
            self.look()

    def look(self) -> None:
        self.pace.look(self.now, Answers(1, self.done, self.waited_ms))


def test_the_pace_is_the_mean_of_the_last_five_seconds() -> None:
    device = Device()
    device.answer(4_800, 700)
    assert not device.pace.is_known  # what is seen for a moment tells little
    device.answer(600, 700)
    assert device.pace.ms == 700
    device.answer(2_600, 100)
    assert 350 < (device.pace.ms or 0) < 450
    device.answer(5_000, 100)
    assert device.pace.ms == 100


def test_a_device_that_was_asked_nothing_has_no_pace() -> None:
    device = Device()
    for _ in range(30):
        device.now = Instant(device.now + LOOK_MS)
        device.look()
    assert device.pace.ms is None


def test_a_time_in_which_nobody_looked_and_another_device_begin_anew() -> None:
    device = Device()
    device.answer(5_400, 700)
    device.now = Instant(device.now + 10_000)  # suspended: its requests seem to have waited so long
    device.waited_ms += 10_000
    device.answer(4_800, 1)
    assert not device.pace.is_known
    device.answer(600, 1)
    assert device.pace.ms == 1
    device.done = device.waited_ms = 0
    device.answer(4_800, 1)
    assert not device.pace.is_known


@pytest.mark.parametrize(
    ("mine_ms", "its_ms", "slow_ms"), [(499, 0, 0), (500, 0, 500), (700, 350, 700), (700, 351, 0)]
)
def test_a_device_is_slow_only_beside_one_that_is_not(mine_ms: int, its_ms: int, slow_ms: int) -> None:
    mine, its = Device(), Device()
    mine.answer(6_000, mine_ms)
    its.answer(6_000, its_ms)
    assert mine.pace.slow_ms(500, its.pace) == slow_ms
    assert mine.pace.slow_ms(500) == (mine_ms if mine_ms >= 500 else 0)


def test_the_looks_that_are_kept_are_bounded() -> None:
    device = Device()
    device.answer(600_000, 1)
    assert len(device.pace._looks) <= Pace.WINDOW_MS // LOOK_MS + 2
