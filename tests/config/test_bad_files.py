"""Every wrong file in bad/ is refused with exactly the messages at its top."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import parse
from agent.config.errors import ConfigError, Problem
from tests.config.fakes import KITS

BAD_FILES = sorted((Path(__file__).parent / "bad").glob("*.toml"))
EXPECT = "# expect: "


def shown(problem: Problem) -> str:
    return ": ".join(part for part in (str(problem.line), problem.key, problem.message) if part)


def test_the_corpus_is_there() -> None:
    assert len(BAD_FILES) >= 150


@pytest.mark.parametrize("path", BAD_FILES, ids=lambda path: path.stem)
def test_a_wrong_file_is_refused_with_all_that_is_wrong(path: Path) -> None:
    text = path.read_text()
    expected = [line.removeprefix(EXPECT) for line in text.splitlines() if line.startswith(EXPECT)]
    assert expected, "a wrong file says what is wrong with it"
    with pytest.raises(ConfigError) as refused:
        parse(text, path, KITS)
    assert [shown(problem) for problem in refused.value.problems] == expected
    line = expected[0].split(": ")[0]
    assert str(refused.value).startswith(f"{path}: " if line == "0" else f"{path}:{line}: ")
