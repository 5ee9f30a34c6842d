"""A file that can't be read is a ConfigError like any other, not an exception of Python's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config import load
from agent.config.errors import ConfigError
from tests.config.fakes import GOOD, KITS


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        load(path, KITS)
    (problem,) = refused.value.problems
    return problem.text(Path(path.name))


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "a.toml") == "a.toml: isn't there: write it, or name another one"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").touch()
    assert refusal(tmp_path / "a.toml").endswith("just after it was written; copy it from a peer")


def test_a_directory(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    assert refusal(tmp_path / "a.toml") == "a.toml: is not a regular file; name the cluster's TOML file"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.toml")
    assert "is not a regular file" in refusal(tmp_path / "a.toml")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD + "#" * (1 << 20))
    assert refusal(tmp_path / "a.toml") == "a.toml: is larger than 1 MiB; a configuration is a few kilobytes"


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"# one\n# two \xff\n")
    assert refusal(tmp_path / "a.toml") == "a.toml:2: is not UTF-8 text; save the file as UTF-8"


def test_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert (
        refusal(tmp_path / "a.toml")
        == "a.toml:1: begins with a byte order mark; save it as UTF-8 without one"
    )


def test_a_number_of_thousands_of_digits(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("a = 1" + "0" * 5_000)
    assert refusal(tmp_path / "a.toml").startswith("a.toml: is not valid TOML: Exceeds the limit")


@pytest.mark.parametrize("opening", ["[", "{a="])
def test_brackets_nested_beyond_reason(tmp_path: Path, opening: str) -> None:
    (tmp_path / "a.toml").write_text("a = " + opening * 50_000)
    assert refusal(tmp_path / "a.toml") == "a.toml: is nested too deeply to be a configuration"


def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(GOOD)
    path.chmod(0)
    if not os.access(path, os.R_OK):
        assert refusal(path) == "a.toml: can't be read: Permission denied"
        return
    # root may read everything: look with another user's eyes, in a process of its own
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    script = (
        "import os, sys; from pathlib import Path; from agent.config import load; "
        "from agent.config.errors import ConfigError\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: load(Path(sys.argv[1]), {})\n"
        "except ConfigError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"{path}: can't be read: Permission denied\n"
