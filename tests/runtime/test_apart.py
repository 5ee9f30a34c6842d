"""What commands leave behind is moved out of the agent's control group."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.fencing.guardlink import PROGRAM
from agent.runtime.apart import VARIABLE, Apart


@pytest.fixture
def groups(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders as cgroup v2 has them, as far as it matters here."""
    own, apps = tmp_path / "agent", tmp_path / "apps"
    for each in (own, apps):
        each.mkdir()
        (each / "cgroup.procs").touch()
    return own, apps


def spawned(*arguments: str) -> subprocess.Popen[bytes]:
    """A process that waits for the end of its input; it runs, so its arguments can be read."""
    program = "import sys; print('up', flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", program, *arguments]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    return process


def test_all_but_the_agent_and_its_guardian_are_moved(groups: tuple[Path, Path]) -> None:
    own, apps = groups
    application, guardian = spawned(), spawned(str(PROGRAM))
    try:
        pids = (os.getpid(), guardian.pid, application.pid)
        (own / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        Apart(own, apps).sweep()
        assert (apps / "cgroup.procs").read_text().split() == [str(application.pid)]
    finally:
        for each in (application, guardian):
            each.communicate(timeout=20)


def test_a_group_that_cannot_be_written_is_told_once(
    groups: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    own, apps = groups
    (own / "cgroup.procs").write_text("1\n")
    apart = Apart(own, apps / "gone")
    apart.sweep()
    apart.sweep()
    assert [each.levelname for each in caplog.records] == ["WARNING"]


def test_an_agent_without_its_unit_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert Apart.from_environment() is None
