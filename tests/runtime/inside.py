"""An agent inside the test's own process, alone of its two nodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.comm.keys import KEY_BYTES, Keyring
from agent.config import load
from agent.config.model import Config
from agent.core.ids import HierarchyId, NodeId
from agent.runtime.agent import Agent
from agent.runtime.noticelog import LoggedNotice
from recovery_kits.registry import kits
from tests.comm.world import free_port
from tests.runtime.waiting import until

ME, PEER = NodeId("a"), NodeId("b")
NAME = HierarchyId("app")
KEY = bytes(KEY_BYTES)
CONFIG = """
[cluster]
name = "inside"
key_file = "{home}/cluster.key"
quorum = "none"
heartbeat_interval = "50ms"
dead_after = "500ms"
startup_grace = "{grace}"
port = {port}

[comm_path.lo1]
priority = 1
a = "127.92.1.1"
b = "127.92.1.2"

[comm_path.lo2]
priority = 2
a = "127.92.2.1"
b = "127.92.2.2"

[self_fence]
command = ["/bin/sh", "-c", "echo fenced >> {home}/fenced"]

[hierarchy.app]
nodes = ["a", "b"]

[hierarchy.app.resource.db]
kit = "generic"
id = "x"
restore = "/bin/true"
remove = "/bin/true"
quick_check = "/bin/true"
"""


def write_config(home: Path, *, grace: str = "0s", more: str = "", port: int | None = None) -> Path:
    path, key = home / "cluster.toml", home / "cluster.key"
    if not key.exists():
        key.write_text(KEY.hex())
        key.chmod(0o400)
    path.write_text(CONFIG.format(home=home, grace=grace, port=port or free_port()) + more)
    return path


def read_config(path: Path) -> Config:
    return load(path, kits())


def make_agent(home: Path, config: Config | None = None) -> Agent:
    config = config or read_config(write_config(home))
    return Agent(ME, config, Keyring([KEY]), home / "state", home / "run", "0.1.0")


def told(agent: Agent, kind: str) -> list[LoggedNotice]:
    """The notices of one kind."""
    return [each for each in agent.notices.all() if each.notice.kind.value == kind]


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[None]:
    """From when it runs until it has ended in good order; a crash of it fails the test."""
    await agent.open()
    task = asyncio.create_task(agent.run(), name="agent under test")
    try:
        await until(lambda: agent.running.is_set() or task.done())
        yield
    finally:
        agent.stop()
        await task
