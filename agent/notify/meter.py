"""Puts a node's figures into CloudWatch again and again; what couldn't be put is old by the next time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from agent.core.effects import Notice
from agent.notify.cloudwatch import CloudWatch, Figures
from agent.notify.contract import NotSent
from agent.notify.outbox import Source

_log = logging.getLogger(__name__)


class Meter:
    """One CloudWatch destination's; `run` it."""

    def __init__(
        self,
        name: str,
        cloudwatch: CloudWatch,
        wants: Callable[[Notice], bool],
        source: Source,
        figures: Callable[[], Figures],
        hierarchies: Sequence[str],
        interval_ms: int,
    ) -> None:
        self._name, self._cloudwatch, self._wants, self._source = name, cloudwatch, wants, source
        self._figures, self._hierarchies, self._interval_s = figures, tuple(hierarchies), interval_ms / 1_000
        self._counted = source.last_id  # notices up to this id
        self._alarms_made = self._fails = False

    def wake(self) -> None:
        """What is new is counted when the time comes."""

    async def run(self) -> None:
        """Put, wait, and put, until cancelled."""
        await self._cloudwatch.warm_up()
        while True:
            try:
                await self._put()
            except NotSent as error:
                if not self._fails:
                    _log.warning("%s: figures are missing: %s", self._name, error)
                self._fails = True
            else:
                self._fails = False
            await asyncio.sleep(self._interval_s)

    async def _put(self) -> None:
        last = self._source.last_id
        fresh = [each for each in self._source.all() if self._counted < each.id <= last]
        await self._cloudwatch.put(sum(self._wants(each.notice) for each in fresh), self._figures())
        self._counted = last
        if not self._alarms_made:
            await self._cloudwatch.put_alarms(self._hierarchies)
            self._alarms_made = True
