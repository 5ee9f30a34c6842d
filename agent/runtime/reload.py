"""Putting a changed configuration in force, or saying why not; the one in force then stays."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from agent.config import load
from agent.config.diff import changes
from agent.config.errors import ConfigError
from agent.core.effects import Kind, Severity
from agent.core.ids import Tag
from agent.runtime.agent import Agent
from agent.runtime.disk import Disk
from agent.runtime.kitbox import KitBroken
from recovery_kits.registry import kits

READ_LIMIT_S = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reloaded:
    """What became of a reload; `text` is for people."""

    accepted: bool
    text: str


class Reloader:
    """Reloads one agent's file."""

    def __init__(self, agent: Agent) -> None:
        self._agent, self._source = agent, agent.config.source
        self.loaded_time = time.time()  # of the configuration in force
        self._disk = Disk("configuration", READ_LIMIT_S)
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> Reloaded:
        """Read the file and put it in force if it is right and may replace the one before."""
        async with self._one_at_a_time:
            result = await self._reload()
        if not result.accepted:
            self._agent.tell(Kind.CONFIG_REFUSED, Severity.WARNING, f"the one before stays: {result.text}")
        return result

    async def changed(self) -> None:
        """The file was written: reload it, unless it says the same."""
        try:
            content = await self._disk.do(self._source.read_bytes)
        except OSError as error:
            _log.warning("%s can't be read: %s", self._source, error.strerror)
            return
        if content != self._agent.config.text.encode():
            await self.reload()

    async def _reload(self) -> Reloaded:
        agent = self._agent
        try:
            config = await self._disk.do(lambda: load(self._source, kits()))
        except ConfigError as error:
            return Reloaded(accepted=False, text=str(error))
        except OSError as error:
            return Reloaded(accepted=False, text=f"{self._source}: {error.strerror}")
        if config.digest == agent.config.digest:
            return Reloaded(accepted=True, text=f"nothing changed ({config.digest})")
        if reasons := changes(agent.config, config, self._in_service()):
            return Reloaded(accepted=False, text="; ".join(reasons))
        try:
            agent.adopt(config)
        except KitBroken as error:
            return Reloaded(accepted=False, text=str(error))
        self.loaded_time = time.time()
        return Reloaded(accepted=True, text=f"in force now: {config.digest}")

    def _in_service(self) -> set[Tag]:
        node = self._agent.node
        if node is None:
            return set()
        lives = [life.resources for life in node.state.hierarchies.values()]
        return {tag for each in lives for tag in each if node.mind.resource_is_active(tag)}
