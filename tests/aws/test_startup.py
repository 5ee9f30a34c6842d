"""What AWS costs who doesn't use it: nothing of botocore is loaded. Told by modules, not by the clock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("boto3", "botocore", "urllib3", "s3transfer")
WITHOUT_AWS = """
import asyncio, sys
from pathlib import Path
from agent.config.load import load
from agent.core.ids import NodeId
from agent.runtime.kitbox import KitBox
from agent.runtime.outside import Outside

async def start() -> None:
    config = load(Path(sys.argv[1]))
    box = KitBox(NodeId("db-01"), config, Path(sys.argv[2]), lambda tag, line: None)
    box.make(config)
    outside = Outside(NodeId("db-01"), config, lambda: 0, lambda event: None)
    await box.warm_up()
    await outside.warm_up()
    await outside.close()
    box.close()

asyncio.run(start())
"""


def loaded(code: str, *arguments: str) -> list[str]:
    """Which of HEAVY a fresh interpreter has after running the code."""
    tell = f"\nimport sys; print('loaded', *(each for each in {HEAVY!r} if each in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code + tell, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize("command", ["status", "nodes", "events", "mirror"])
def test_a_command_loads_nothing_of_aws(tmp_path: Path, command: str) -> None:
    """As people run it, to its end: here no agent answers."""
    code = f"""
from agent.cli.main import main
try:
    main([{command!r}, "--socket", {str(tmp_path / "none.sock")!r}])
except SystemExit:
    pass
"""
    assert loaded(code) == []


def test_an_agent_without_aws_in_its_configuration_starts_without_it(tmp_path: Path) -> None:
    config = tmp_path / "kagemusha.toml"
    config.write_text(CONFIG)
    assert loaded(WITHOUT_AWS, str(config), str(tmp_path)) == []
