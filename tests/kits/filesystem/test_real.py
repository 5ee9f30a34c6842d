"""The `filesystem` kit on real filesystems, each in a mount namespace of its own (needs root)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kits.filesystem.in_namespace import SCENARIOS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", SCENARIOS)
def test_on_a_real_filesystem(name: str, tmp_path: Path) -> None:
    program = [sys.executable, "-W", "error", "-m", "tests.kits.filesystem.in_namespace", name, str(tmp_path)]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "--", *program],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
