"""Tests that are coroutines, and waiting for something to come true."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import ParamSpec

P = ParamSpec("P")
LIMIT_S = 30.0


def on_loop(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """Run a test that is a coroutine, for half a minute at most; it may ask for fixtures."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), LIMIT_S))

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]  # PEP 362
    del run.__dict__["__wrapped__"]  # pytest must not see the coroutine behind it
    return run


def wait_until(condition: Callable[[], object], within_s: float = LIMIT_S) -> None:
    """Wait for it, or fail."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it didn't come true in time"
        time.sleep(0.01)


async def until(condition: Callable[[], object], within_s: float = LIMIT_S) -> None:
    """Wait for it on the loop, or fail."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 (what it waits for sets no event)
            await asyncio.sleep(0.005)
