"""Disk access beside the event loop.

Keeps: the loop never waits for a disk; whoever asks is told within a limit; a disk that hangs keeps
neither the next caller waiting nor the process from ending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from recovery_kits.blocking import Blocking

T = TypeVar("T")


class Disk:
    """Does one piece of work at a time, in the order in which it was asked for."""

    def __init__(self, limit_s: float, precede: Callable[[], None] | None = None) -> None:
        """`precede` is called in each thread before its work: see agent.runtime.realtime."""
        self._precede = precede
        self._turn = asyncio.Lock()
        self._accesses = Blocking("the disk", limit_s=limit_s, most=1)

    @property
    def under_way(self) -> int:
        """How many accesses haven't ended: 0 or 1."""
        return self._accesses.under_way

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, from a thread.

        Raises TimeoutError (an OSError, with a strerror) after the limit, and at once while earlier
        work hangs. What ran out of time may still be done when the disk comes back.
        """
        async with self._turn:
            return await self._accesses.do(lambda: self._begin(work))

    def _begin(self, work: Callable[[], T]) -> T:
        if self._precede is not None:
            self._precede()
        return work()
