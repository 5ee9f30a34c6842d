"""`kage agent`: puts the agent's parts together and runs them until a signal ends them."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path

from agent import version
from agent.cli.whoami import this_node
from agent.comm import keys
from agent.config import load
from agent.config.errors import ConfigError
from agent.config.model import Config
from agent.core.ids import NodeId
from agent.runtime import systemd
from agent.runtime.agent import Agent
from agent.runtime.kitbox import KitBroken
from agent.runtime.onlyone import AlreadyInUse, only_agent
from agent.runtime.realtime import take_precedence
from agent.runtime.reload import Reloader
from agent.runtime.store import StoreError
from recovery_kits.registry import kits

LEAVE_WITHIN_S = 8.4  # once told to end; then the process ends anyway, showing where it stood
LET_GO_S = 1.5  # for what is left, once the agent has ended

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
        with only_agent((state_dir, runtime_dir)):
            agent = Agent(me, config, keyring, state_dir, runtime_dir, version())
            return _run_to_the_end(agent, runtime_dir / "agent.sock")
    except (ConfigError, CannotStart, keys.KeyFileError, AlreadyInUse, KitBroken, StoreError) as error:
        return _refuse(str(error))
    except OSError as error:
        return _refuse(_where_and_why(error))


def _run_to_the_end(agent: Agent, socket_path: Path) -> int:
    try:
        asyncio.run(_run(agent, Reloader(agent), socket_path))
    except ExceptionGroup as group:
        leaves = list(dict.fromkeys(_leaves(group)))
        if not agent.running.is_set() and all(isinstance(leaf, OSError) for leaf in leaves):
            raise leaves[0] from None
        for leaf in leaves:
            _log.critical("the agent ends: %s", leaf, exc_info=leaf)
        return 1
    finally:
        faulthandler.cancel_dump_traceback_later()
    return 0


async def _run(agent: Agent, reloader: Reloader, socket_path: Path) -> None:
    loop = asyncio.get_running_loop()
    changes = asyncio.Queue[None](1)

    def stop() -> None:
        faulthandler.dump_traceback_later(LEAVE_WITHIN_S, exit=True)
        agent.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, _put_one, changes)
    for refused in take_precedence():
        _log.info("running without %s", refused)
    try:
        await agent.open()
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(_serve(agent, reloader, socket_path), name="api"),
                group.create_task(_tell_systemd(agent), name="systemd"),
                group.create_task(_reload_on_change(agent, reloader, changes), name="reload"),
            ]
            await agent.run()
            systemd.notify("STOPPING=1")
            for task in beside:
                task.cancel()
    finally:
        # A kit that ignores its end, or a disk that hangs, can't keep the process.
        faulthandler.dump_traceback_later(LET_GO_S, exit=True)


async def _serve(agent: Agent, reloader: Reloader, socket_path: Path) -> None:
    """Second: heartbeats don't wait for what a web server takes to load, a third of a start."""
    await agent.running.wait()
    await asyncio.to_thread(lambda: [import_module(f"agent.api.{name}") for name in ("facade", "server")])
    from agent.api.facade import Facade  # noqa: PLC0415
    from agent.api.server import serve  # noqa: PLC0415

    await serve(Facade(agent, reloader), socket_path)


async def _tell_systemd(agent: Agent) -> None:
    await agent.running.wait()
    systemd.notify("READY=1")
    await systemd.feed_watchdog(lambda: agent.works)


async def _reload_on_change(agent: Agent, reloader: Reloader, changes: asyncio.Queue[None]) -> None:
    await agent.running.wait()
    watching = await asyncio.to_thread(import_module, "agent.runtime.configwatch")
    with contextlib.ExitStack() as stack:
        for path in (agent.config.source, agent.config.key_file):
            stack.enter_context(watching.ConfigWatch(path, lambda: _put_one(changes)))
        _put_one(changes)  # they may have changed since they were read
        while True:
            await changes.get()
            await reloader.changed()


def _put_one(changes: asyncio.Queue[None]) -> None:
    if changes.empty():
        changes.put_nowait(None)


def _who_am_i(config: Config, node: str | None) -> NodeId:
    me = this_node(config.cluster.nodes, node)
    if me is None:
        name, known = node or socket.gethostname(), ", ".join(config.cluster.nodes)
        raise CannotStart(
            f"{config.source}: no node is called {name!r} (there are: {known}); "
            "name this machine so, or say which one it is: kage agent --node NAME"
        )
    return me


def _refuse(why: str) -> int:
    print(why, file=sys.stderr)  # noqa: T201 (before there is a log)
    return 2


def _where_and_why(error: OSError) -> str:
    return ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)


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
