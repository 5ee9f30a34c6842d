"""What AWS costs who doesn't use it: nothing of botocore is loaded. Told by modules, not by the clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime.inside import write_config

HEAVY = ("boto3", "botocore", "urllib3", "s3transfer")
START = """
import asyncio, sys
from pathlib import Path
from agent.config.load import load
from agent.core.ids import NodeId
from agent.runtime.kitbox import KitBox
from agent.runtime.outside import Outside
from recovery_kits.registry import kits

async def start() -> None:
    config = load(Path(sys.argv[1]), kits())
    box = KitBox(NodeId("a"), config, Path(sys.argv[2]), lambda tag, line: None)
    box.make(config)
    outside = Outside(NodeId("a"), config, lambda: 0, lambda event: None)
    await box.warm_up()
    await outside.warm_up()
    await outside.close()
    box.close()

asyncio.run(start())
"""


def loaded(code: str, *arguments: str) -> list[str]:
    """Which of HEAVY a fresh interpreter has after running the code."""
    tell = f"\nimport sys; print('loaded', *(each for each in {HEAVY!r} if each in sys.modules))"
    command = [sys.executable, "-c", code + tell, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("command", ["status", "nodes", "events", "metrics"])
def test_a_command_loads_nothing_of_aws(tmp_path: Path, command: str) -> None:
    """As people run it, to its end: here no agent answers."""
    code = f"""
from agent.cli.exits import NO_AGENT
from agent.cli.main import main
assert main(["--socket", {str(tmp_path / "none.sock")!r}, {command!r}]) == NO_AGENT
"""
    assert loaded(code) == []


def test_an_agent_without_aws_in_its_configuration_starts_without_it(tmp_path: Path) -> None:
    assert loaded(START, str(write_config(tmp_path)), str(tmp_path)) == []
