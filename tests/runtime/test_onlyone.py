"""One agent for one directory, however the one before it ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent.runtime.onlyone import AlreadyInUse, only_agent

HOLD = """
import sys, time
from pathlib import Path
from agent.runtime.onlyone import only_agent
with only_agent([Path(sys.argv[1])]):
    print("held", flush=True)
    time.sleep(600)
"""


def test_what_is_held_is_refused_to_others_and_free_afterwards(tmp_path: Path) -> None:
    with only_agent([tmp_path / "a" / "state", tmp_path / "a" / "run"]):
        assert (tmp_path / "a" / "state").stat().st_mode & 0o777 == 0o700
        with (
            pytest.raises(
                AlreadyInUse, match=rf"^{tmp_path}/a/run is in use by another agent; .*--runtime-dir"
            ),
            only_agent([tmp_path / "b", tmp_path / "a" / "run"]),
        ):
            pass
        with only_agent([tmp_path / "b"]):
            pass
    with only_agent([tmp_path / "a" / "run"]):
        pass


def test_one_directory_for_everything_is_no_conflict_with_itself(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with only_agent([tmp_path, tmp_path / "link"]):
        pass


def test_a_killed_agents_directory_is_free_though_its_children_live(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyInUse), only_agent([tmp_path]):
            pass
        holder.kill()
    with only_agent([tmp_path]):
        child = subprocess.Popen(["sleep", "600"])
    try:
        with only_agent([tmp_path]):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_directory_that_cannot_be_made_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), only_agent([tmp_path / "file" / "state"]):
        pass
