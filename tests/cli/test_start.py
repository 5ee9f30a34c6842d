"""What the agent's process does first."""

from __future__ import annotations

import subprocess
import sys


def test_heartbeats_do_not_wait_until_the_web_server_and_the_file_watch_are_loaded() -> None:
    late = ("agent.api.server", "uvicorn", "starlette", "watchdog", "botocore")
    looking = f"import sys, agent.cli.daemon; print([each for each in {late} if each in sys.modules])"
    seen = subprocess.run(
        [sys.executable, "-c", looking], capture_output=True, text=True, timeout=20, check=True
    )
    assert seen.stdout == "[]\n"
