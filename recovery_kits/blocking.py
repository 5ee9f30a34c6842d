"""Calls that a disk may hold up, beside the event loop.

Keeps: the loop never waits; whoever asks is told within the limit; at most `most` calls hang at a time,
and none keeps the process from ending.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Blocking:
    """Threads for accesses to one thing, whose name begins every complaint."""

    def __init__(self, name: str, *, limit_s: float, most: int = 4) -> None:
        self._name, self._limit_s, self._most = name, limit_s, most
        self._hanging: set[Future[Any]] = set()

    @property
    def under_way(self) -> int:
        """How many accesses haven't ended, also those that nobody waits for any more."""
        self._hanging = {future for future in self._hanging if not future.done()}
        return len(self._hanging)

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises.

        Raises TimeoutError (an OSError, with a strerror) after the limit, and at once while `most` calls
        hang. What ran out of time may still be done when the disk comes back.
        """
        if self.under_way >= self._most:
            raise TimeoutError(errno.ETIMEDOUT, f"{self._name} hasn't answered earlier accesses yet")
        future = self._begin(work)
        self._hanging.add(future)
        limit = asyncio.timeout(self._limit_s)
        try:
            async with limit:
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            if not limit.expired():
                raise
            why = f"{self._name} didn't answer within {self._limit_s:g} s"
            raise TimeoutError(errno.ETIMEDOUT, why) from error

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        """In a thread of its own: a process that ends doesn't wait for it, as it would for a pool's."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # whoever stops waiting doesn't make it done
        try:
            threading.Thread(target=_work, args=(work, future), name=self._name, daemon=True).start()
        except RuntimeError as error:  # the machine is out of threads
            future.set_exception(OSError(errno.EAGAIN, f"no thread for {self._name}: {error}"))
        return future


def _work(work: Callable[[], T], future: Future[T]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 (handed to whoever waits)
        future.set_exception(error)
    else:
        future.set_result(result)
