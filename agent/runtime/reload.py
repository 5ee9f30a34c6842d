"""Putting a changed configuration or key file in force, or saying why not; what is in force then stays."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from agent.comm import keys
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
    """Reloads one agent's configuration and its keys."""

    def __init__(self, agent: Agent) -> None:
        self._agent, self._source = agent, agent.config.source
        self.loaded_time = time.time()  # of the configuration in force
        self._disk = Disk(READ_LIMIT_S)
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> Reloaded:
        """Read both files; put in force what is right and may replace the one before."""
        async with self._one_at_a_time:
            result = await self._reload()
            ring = await self._reload_keys()
        if not result.accepted:
            self._agent.tell(Kind.CONFIG_REFUSED, Severity.WARNING, f"the one before stays: {result.text}")
        if ring is None:
            return result
        return Reloaded(accepted=result.accepted and ring.accepted, text=f"{result.text}; {ring.text}")

    async def changed(self) -> None:
        """One of the files was written: reload it, unless it says the same."""
        try:
            content = await self._disk.do(self._source.read_bytes)
        except OSError as error:
            _log.warning("%s can't be read: %s", self._source, error.strerror)
        else:
            if content != self._agent.config.text.encode():
                await self.reload()
                return
        async with self._one_at_a_time:
            await self._reload_keys()

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

    async def _reload_keys(self) -> Reloaded | None:
        """What became of the key file, told as well; None if it holds what is in force."""
        comm, path = self._agent.comm, self._agent.config.key_file
        try:
            ring = await self._disk.do(lambda: keys.load(path))
        except keys.KeyFileError as error:
            return self._refuse_keys(str(error))
        except OSError as error:
            return self._refuse_keys(f"{path}: {error.strerror}")
        if ring.ids == comm.key_ids:
            return None
        if reasons := comm.why_not(ring):
            return self._refuse_keys(f"{path}: {'; '.join(reasons)}; then kage config reload")
        comm.use_keys(ring)
        text = f"keys in force now: {ring}"
        self._agent.tell(Kind.CONFIG_LOADED, Severity.INFO, text)
        return Reloaded(accepted=True, text=text)

    def _refuse_keys(self, problem: str) -> Reloaded:
        self._agent.tell(Kind.CONFIG_REFUSED, Severity.WARNING, f"the keys before stay: {problem}")
        return Reloaded(accepted=False, text=problem)

    def _in_service(self) -> set[Tag]:
        node = self._agent.node
        if node is None:
            return set()
        lives = [life.resources for life in node.state.hierarchies.values()]
        return {tag for each in lives for tag in each if node.mind.resource_is_active(tag)}
