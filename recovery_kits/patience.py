"""Calling AWS again while nobody answers, for as long as a kit's action may wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent.aws import AwsError

T = TypeVar("T")
TRIES = 3  # of a call that is throttled or gets no answer; after that nobody could tell
BACKOFF_S = 0.2  # doubles from try to try; the pause is random below it


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Call up to TRIES times while nobody answers, with random pauses between; raises the last AwsError."""
    for attempt in range(TRIES - 1):
        try:
            return await call()
        except AwsError as error:
            if not error.passing:
                raise
        await pause(attempt)
    return await call()


async def pause(attempt: int) -> None:
    """Wait for a random while after a failed try, the first of which is number 0."""
    await asyncio.sleep(random.uniform(0, BACKOFF_S * 2**attempt))  # nosec B311  # noqa: S311 (jitter)
