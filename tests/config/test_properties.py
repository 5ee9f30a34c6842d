"""Whatever is in the file, the answer is a Config or a ConfigError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config import load, parse
from agent.config.durations import format_duration, parse_duration
from agent.config.errors import ConfigError
from agent.config.model import Config
from tests.config.fakes import GOOD, KITS, SOURCE

LINES = GOOD.splitlines(keepends=True)
VALUES = st.sampled_from(
    [
        "1",
        "-1",
        "1.5",
        "nan",
        "1e400",
        "9" * 30,
        "true",
        "2026-01-01",
        "[]",
        "[1]",
        "[[1]]",
        "{}",
        "{ a = 1 }",
    ]
) | st.sampled_from(["", "x", "2s", "db-01", "10.0.3.4", "10.0.0.0/8", "/x", "\\u0000", "🏯"]).map(
    '"{}"'.format
)


def answer(text: str) -> Config | ConfigError:
    try:
        return parse(text, SOURCE, KITS)
    except ConfigError as error:
        return error


def check(text: str) -> None:
    """Any other exception than ConfigError is an error of this test, too."""
    result = answer(text)
    if isinstance(result, ConfigError):
        assert result.problems
        assert list(result.problems) == sorted(set(result.problems))
        assert all(0 <= problem.line <= text.count("\n") + 1 for problem in result.problems)
        assert str(result)


@given(st.text())
def test_any_text(text: str) -> None:
    check(text)


@given(st.text(alphabet=st.characters(codec=None, categories=["Cs", "Lu"]), max_size=5))
def test_text_that_no_file_can_hold(text: str) -> None:
    check(f'{GOOD}\n[hierarchy.app.resource.vip.node.db-01]\ndevice = "{text}"')


@given(st.binary())
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigError):  # nothing so short is a cluster
        load(path, KITS)


@given(st.data())
def test_a_good_file_with_lines_taken_out_moved_or_changed(data: st.DataObject) -> None:
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        change = data.draw(st.sampled_from(["drop", "value", "double", "key", "header"]))
        key, equals, _ = lines[at].partition(" = ")
        if change == "drop":
            lines[at] = "\n"
        elif change == "double":
            lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
        elif change == "value" and equals:
            lines[at] = f"{key} = {data.draw(VALUES)}\n"
        elif change == "key" and equals:
            lines[at] = (
                f"{data.draw(st.sampled_from(['kit', 'node', 'limits', 'x', 'port']))}{lines[at][len(key) :]}"
            )
        elif change == "header" and lines[at].startswith("["):
            lines[at] = data.draw(
                st.sampled_from(["[[hierarchy.app]]\n", "[comm_path]\n", '["".a]\n', "[aws]\n"])
            )
    check("".join(lines))


def test_a_good_file_in_every_value_position() -> None:
    for at, line in enumerate(LINES):
        key, equals, _ = line.partition(" = ")
        for value in ("1", '""', "[]", "{}", "true", "[{}]") if equals else ():
            check("".join([*LINES[:at], f"{key} = {value}\n", *LINES[at + 1 :]]))


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0s", 0), ("250ms", 250), ("2s", 2_000), ("5min", 300_000), ("1h", 3_600_000), ("0090s", 90_000)],
)
def test_a_duration_is_read(text: str, ms: int) -> None:
    assert parse_duration(text) == ms


@pytest.mark.parametrize(
    "text", ["", "5", "ms", "1.5s", "-1s", "+1s", "1 s", " 1s", "1s\n", "1m", "1S", "1h30min", "²s"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


@given(st.integers(0, 10**9 - 1))
def test_a_duration_survives_being_written(ms: int) -> None:
    assert parse_duration(format_duration(ms)) == ms
