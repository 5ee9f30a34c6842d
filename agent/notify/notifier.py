"""All destinations of one node: each has a task of its own, and a reload changes only those that changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agent.config.model import Config
from agent.config.notify import CloudWatchParameters, NotifySetup
from agent.core.ids import NodeId
from agent.notify.cloudwatch import CloudWatch, Figures
from agent.notify.meter import Meter
from agent.notify.opening import Sessions, open_destination
from agent.notify.outbox import Outbox, Source, Tell
from agent.notify.position import Position, forget_all_but
from agent.notify.wants import Wants, homes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _At:
    """A destination at work, and what it was made from."""

    made_from: object
    worker: Outbox | Meter
    task: asyncio.Task[None]


class Notifier:
    """Tells people elsewhere what `source` holds; `directory` remembers how far each destination got."""

    def __init__(
        self,
        me: NodeId,
        config: Config,
        source: Source,
        directory: Path,
        figures: Callable[[], Figures],
        tell: Tell,
    ) -> None:
        self._me, self._config, self._source, self._directory = me, config, source, directory
        self._figures, self._tell = figures, tell
        self._group: asyncio.TaskGroup | None = None
        self._sessions: Sessions | None = None
        self._at: dict[str, _At] = {}
        self._ending: dict[str, set[asyncio.Task[None]]] = {}  # cancelled, or forgetting, and not gone yet

    def wake(self) -> None:
        """There is something new in the log; returns at once."""
        for at in self._at.values():
            at.worker.wake()

    def use(self, config: Config) -> None:
        """From now on these destinations; those that stayed as they were aren't disturbed."""
        self._config = config
        if self._group is not None and self._sessions is not None:
            self._change(self._group, self._sessions)

    async def run(self) -> None:
        """Until cancelled; then what isn't sent waits for the next life of the agent."""
        self._sessions = Sessions(self._config)
        try:
            async with asyncio.TaskGroup() as self._group:
                self._change(self._group, self._sessions)
                await self._tidy()
                await asyncio.Event().wait()
        finally:
            self._group = None
            self._sessions.close()

    def _change(self, group: asyncio.TaskGroup, sessions: Sessions) -> None:
        config = self._config
        wanted = {setup.name: setup for setup in config.notify}
        of_tags = homes(config)
        for name in list(self._at):
            if name not in wanted:
                self._end(name)
                self._begin(group, name, partial(self._forget, name))
            elif self._at[name].made_from != (wanted[name], of_tags):
                self._end(name)
        for name, setup in wanted.items():
            if name not in self._at:
                worker = self._worker(setup, sessions)
                task = self._begin(group, name, worker.run)
                self._at[name] = _At((setup, of_tags), worker, task)

    def _worker(self, setup: NotifySetup, sessions: Sessions) -> Outbox | Meter:
        cluster, wants = self._config.cluster, Wants(setup.table, homes(self._config))
        destination = open_destination(setup, cluster.name, self._me, sessions)
        if isinstance(destination, CloudWatch):
            assert isinstance(setup.parameters, CloudWatchParameters), setup
            names, interval_ms = [each.name for each in cluster.hierarchies], setup.parameters.interval_ms
            return Meter(setup.name, destination, wants, self._source, self._figures, names, interval_ms)
        position = Position(self._directory, setup.name)
        return Outbox(
            setup.name, destination, wants, self._source, position, cluster.name, self._me, self._tell
        )

    def _begin(
        self, group: asyncio.TaskGroup, name: str, work: Callable[[], Awaitable[None]]
    ) -> asyncio.Task[None]:
        """Begin once all that went before under this name has ended."""
        before = set(self._ending.get(name, ()))
        task = group.create_task(_after(before, work), name=f"notify {name}")
        ending = self._ending.setdefault(name, set())
        ending.add(task)
        task.add_done_callback(ending.discard)
        return task

    def _end(self, name: str) -> None:
        self._at.pop(name).task.cancel()

    async def _forget(self, name: str) -> None:
        """A destination of that name that comes back is a new one."""
        try:
            await Position(self._directory, name).forget()
        except OSError as error:
            _log.warning("%s: %s", self._directory, error.strerror)

    async def _tidy(self) -> None:
        try:
            await forget_all_but(self._directory, [setup.name for setup in self._config.notify])
        except OSError as error:
            _log.warning("%s: %s", self._directory, error.strerror)


async def _after(before: set[asyncio.Task[None]], work: Callable[[], Awaitable[None]]) -> None:
    if before:
        await asyncio.wait(before)
    await work()
