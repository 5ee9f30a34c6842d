"""A change in AWS that counts once AWS shows it, whatever was answered to the change itself.

Its answer may be lost after it was applied, and one that is accepted may show late. So afterwards one looks:
what is as wanted is success, and a failure is only what AWS refused and doesn't show either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from agent.aws import AwsError, AwsFault
from recovery_kits.contract import Kit
from recovery_kits.patience import patiently


async def settle(
    kit: Kit[Any],
    action: str,
    change: Callable[[], Awaitable[object]],
    why_not: Callable[[], Awaitable[str | None]],  # asks AWS what is wrong; None: all is as wanted
    waits_s: Sequence[float],  # before each look, for what is accepted may show late
) -> None:
    """Make the change and see it.

    Raises KitError where AWS refused it; Unanswered where nobody could tell, where it was accepted and
    doesn't show, and where this node may not act any more.
    """
    failure = await _error_of(change)
    if failure and failure.kind is AwsFault.NO_AUTHORITY:
        raise kit.unanswered(action, str(failure)) from failure
    try:
        why = await _look(why_not, waits_s[:1] if failure else waits_s)
    except AwsError as error:
        if failure is None:
            raise kit.unanswered(action, f"can't be read back: {error}") from error
        why = str(error)
    if why is None:
        return
    if failure is None:
        raise kit.unanswered(action, f"AWS accepted it and doesn't show it: {why}")
    raise (kit.unanswered if failure.unanswered else kit.error)(action, str(failure)) from failure


async def _error_of(change: Callable[[], Awaitable[object]]) -> AwsError | None:
    try:
        await patiently(change)
    except AwsError as error:
        return error
    return None


async def _look(why_not: Callable[[], Awaitable[str | None]], waits_s: Sequence[float]) -> str | None:
    why: str | None = ""
    for wait_s in waits_s:
        await asyncio.sleep(wait_s)
        why = await patiently(why_not)
        if why is None:
            break
    return why
