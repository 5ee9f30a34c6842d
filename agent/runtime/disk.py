"""Disk access beside the event loop.

Keeps: the loop never waits for a disk; whoever asks is told within a limit; a disk that hangs keeps
neither the next caller waiting nor the process from ending.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Disk:
    """Does one piece of work at a time, in the order in which it was asked for."""

    def __init__(self, name: str, limit_s: float) -> None:
        self._name, self._limit_s = name, limit_s
        self._turn = asyncio.Lock()
        self._last: Future[Any] | None = None

    async def do(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, from a thread.

        Raises TimeoutError (an OSError, with a strerror) after the limit, and at once while earlier
        work hangs. What ran out of time may still be done when the disk comes back.
        """
        async with self._turn:
            if self._last is not None and not self._last.done():
                raise TimeoutError(errno.ETIMEDOUT, "the disk hasn't answered an earlier access yet")
            self._last = future = self._begin(work)
            limit = asyncio.timeout(self._limit_s)
            try:
                async with limit:
                    return await asyncio.wrap_future(future)
            except TimeoutError as error:
                if not limit.expired():
                    raise
                why = f"the disk didn't answer within {self._limit_s:g} s"
                raise TimeoutError(errno.ETIMEDOUT, why) from error

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        """In a thread of its own: a process that ends doesn't wait for it, as it would for a pool's."""
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # whoever stops waiting doesn't make it done
        try:
            threading.Thread(target=_work, args=(work, future), name=self._name, daemon=True).start()
        except RuntimeError as error:  # the machine is out of threads
            future.set_exception(OSError(errno.EAGAIN, f"no thread for the disk: {error}"))
        return future


def _work(work: Callable[[], T], future: Future[T]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 (handed to whoever waits)
        future.set_exception(error)
    else:
        future.set_result(result)
