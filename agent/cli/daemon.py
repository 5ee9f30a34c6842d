"""`kage agent`: puts the agent's parts together and runs them until a signal ends them."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from pathlib import Path

from agent import __version__
from agent.api.facade import Facade
from agent.api.server import serve
from agent.comm import keys
from agent.config import load
from agent.config.errors import ConfigError
from agent.config.model import Config
from agent.core.ids import NodeId
from agent.runtime import systemd
from agent.runtime.agent import Agent
from agent.runtime.configwatch import ConfigWatch
from agent.runtime.realtime import take_precedence
from agent.runtime.reload import Reloader
from agent.runtime.store import StoreError
from recovery_kits.registry import kits

_log = logging.getLogger(__name__)


class CannotStart(Exception):
    """The agent can't run with what it was given; says why and what to do."""


def run(config_path: Path, node: str | None, state_dir: Path, runtime_dir: Path) -> int:
    """Run the agent; the process's exit code: 0 ended in good order, 1 it broke, 2 it can't start."""
    _begin_log()
    try:
        config = load(config_path, kits())
        me = _who_am_i(config, node)
        keyring = keys.load(config.key_file)
        agent = Agent(me, config, keyring, state_dir, runtime_dir, __version__)
        asyncio.run(_run(agent, Reloader(agent, config_path, config_path.read_text()), runtime_dir))
    except (ConfigError, CannotStart, keys.KeyFileError, StoreError) as error:
        print(error, file=sys.stderr)  # noqa: T201 (before there is a log)
        return 2
    except ExceptionGroup as group:
        for leaf in _leaves(group):
            _log.critical("the agent ends: %s", leaf, exc_info=leaf)
        return 1
    return 0


async def _run(agent: Agent, reloader: Reloader, runtime_dir: Path) -> None:
    await agent.open()
    for refused in take_precedence():
        _log.info("running without %s", refused)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    async with asyncio.TaskGroup() as group:
        changes = asyncio.Queue[None](1)

        def changed() -> None:
            if changes.empty():
                changes.put_nowait(None)

        loop.add_signal_handler(signal.SIGHUP, changed)
        with ConfigWatch(agent.config.source, changed):
            beside = [
                group.create_task(serve(Facade(agent, reloader), runtime_dir / "agent.sock"), name="api"),
                group.create_task(systemd.feed_watchdog(lambda: agent.node is not None), name="watchdog"),
                group.create_task(_reload_on_change(reloader, changes), name="reload"),
            ]
            systemd.notify("READY=1")
            await agent.run()
            systemd.notify("STOPPING=1")
            for task in beside:
                task.cancel()


async def _reload_on_change(reloader: Reloader, changes: asyncio.Queue[None]) -> None:
    while True:
        await changes.get()
        await reloader.changed()


def _who_am_i(config: Config, node: str | None) -> NodeId:
    name = NodeId(node or socket.gethostname().split(".", 1)[0])
    if name not in config.cluster.nodes:
        known = ", ".join(config.cluster.nodes)
        raise CannotStart(
            f"{config.source}: no node is called {name!r} (there are: {known}); "
            "name this machine so, or say which one it is: kage agent --node NAME"
        )
    return name


def _leaves(group: ExceptionGroup[Exception]) -> list[Exception]:
    return [
        leaf
        for each in group.exceptions
        for leaf in (_leaves(each) if isinstance(each, ExceptionGroup) else [each])
    ]


def _begin_log() -> None:
    """To the journal with its priorities where there is one, else to stderr."""
    try:
        from systemd.journal import JournalHandler  # noqa: PLC0415 (only where systemd-python is installed)
    except ImportError:
        JournalHandler = None  # noqa: N806
    handler: logging.Handler
    if JournalHandler is not None and systemd.under_systemd():
        handler = JournalHandler(SYSLOG_IDENTIFIER="kagemusha")
    else:
        handler = logging.StreamHandler()
        line = "%(asctime)s.%(msecs)03d %(levelname)s %(message)s"
        handler.setFormatter(logging.Formatter(line, "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
