"""Keeps on disk what the core wants durable: the newest state, one write at a time.

Keeps: `Persisted` is told only after the store took that very record; a write that fails is told, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from agent.core.effects import Persist
from agent.core.events import Event, Persisted, PersistFailed
from agent.core.ids import Instant
from agent.runtime.store import Store, StoreError


class Keeper:
    """Writes to one store for one boot of the machine."""

    def __init__(
        self, store: Store, boot_id: str, clock_ms: Callable[[], Instant], feed: Callable[[Event], None]
    ) -> None:
        self._store, self._boot_id, self._clock_ms, self._feed = store, boot_id, clock_ms, feed
        self._newest: deque[Persist] = deque(maxlen=1)  # only the newest is worth writing
        self._wanted = asyncio.Event()

    def keep(self, persist: Persist) -> None:
        """Write it as soon as the write under way is done, unless a newer one comes before."""
        self._newest.append(persist)
        self._wanted.set()

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if not self._newest:
                continue
            persist = self._newest.popleft()
            try:
                await self._store.save(persist.durable, self._boot_id)
            except StoreError as error:
                self._feed(PersistFailed(self._clock_ms(), persist.serial, str(error)))
            else:
                self._feed(Persisted(self._clock_ms(), persist.serial))
