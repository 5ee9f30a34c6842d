"""Each transcript is what the cluster says today; `python -m tests.scenarios` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.player import duration_ms, played

FILES = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_cluster_answers_as_written(file: Path) -> None:
    text = file.read_text()
    assert played(text) == text


def test_there_are_scenarios() -> None:
    assert len(FILES) >= 12


def test_a_reply_that_changed_is_seen() -> None:
    text = FILES[0].read_text()
    assert played(text.replace("in-service", "in-disguise")) != text.replace("in-service", "in-disguise")


def test_a_command_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such command: fly db-01"):
        played("> fly db-01\n")


@pytest.mark.parametrize(("text", "ms"), [("250ms", 250), ("2s", 2_000), ("5min", 300_000)])
def test_durations(text: str, ms: int) -> None:
    assert duration_ms(text) == ms
