"""Where neither a mirror nor the registry has the provider: nothing passes for tested, and it is said why."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machines.machine import PROJECT
from tests.terraform import tool


def test_without_a_mirror_and_the_registry_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tool, "mirror", lambda: None)
    unreachable = {"HTTPS_PROXY": "http://127.0.0.1:9", "TF_REGISTRY_DISCOVERY_RETRY": "0"}
    monkeypatch.setattr(tool, "SETTINGS", tool.SETTINGS | unreachable)
    folder = tool.copy_modules(tmp_path) / "modules/arbiter"
    with pytest.raises(tool.NotHere) as said:
        tool.initialise(folder)
    assert "there is no mirror of the AWS provider" in str(said.value)
    assert "the registry doesn't answer" in str(said.value)


def test_a_run_in_which_nothing_may_be_skipped_fails_without_the_provider(tmp_path: Path) -> None:
    some = "tests/terraform/test_modules.py::test_everything_is_formatted"
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", some],
        cwd=PROJECT,
        env=os.environ | {tool.MIRROR_VARIABLE: str(tmp_path), "KAGE_NO_SKIPS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout
    assert f"{tool.MIRROR_VARIABLE}={tmp_path}: there is no {tool.PROVIDER} in it" in run.stdout
