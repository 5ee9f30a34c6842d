"""Runs kits' actions as tasks, each with an owner, a time limit and one end.

Keeps: for every `StartAction` exactly one `ActionFinished` follows, however the kit behaves; nothing
of an ended action goes on running, as far as the kernel lets a process be killed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from agent.core.effects import StartAction
from agent.core.events import ActionFinished
from agent.core.ids import ActionId, Instant, Tag
from agent.core.states import Action, Health, Outcome
from recovery_kits.contract import Check, Kit, KitError, Unanswered

GIVE_UP_S = 10.0  # for a kit to end after it was cancelled: kill grace included
MOST_DETAIL = 2_000  # characters

_journal = logging.getLogger(__name__)
_OF_HEALTH = {Health.OK: Outcome.OK, Health.FAILED: Outcome.FAILED, Health.UNKNOWN: Outcome.UNKNOWN}


class Actions:
    """The actions in progress on this node."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        clock_ms: Callable[[], Instant],
        finished: Callable[[ActionFinished], None],
    ) -> None:
        self._group, self._clock_ms, self._finished = group, clock_ms, finished
        self._kits: Mapping[Tag, Kit[Any]] = {}
        self._tasks: dict[ActionId, asyncio.Task[Check]] = {}
        self._followers: set[asyncio.Task[None]] = set()
        self._cancelled: set[ActionId] = set()

    def use(self, kits: Mapping[Tag, Kit[Any]]) -> None:
        """From now on start actions with these kits; those in progress go on with theirs."""
        self._kits = kits

    def start(self, order: StartAction) -> None:
        """Begin it; its end is told to `finished`."""
        task = self._group.create_task(self._follow(order), name=f"{order.action.value} {order.tag}")
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)

    def cancel(self, action: ActionId) -> None:
        """End it early."""
        self._cancelled.add(action)
        if (task := self._tasks.get(action)) is not None:
            task.cancel()

    async def idle(self) -> None:
        """Return when no action is in progress."""
        while self._followers:
            await asyncio.wait(self._followers)

    def abandon(self) -> None:
        """The agent ends: wait for nothing any more."""
        for follower in self._followers:
            follower.cancel()

    async def _follow(self, order: StartAction) -> None:
        kit = self._kits.get(order.tag)
        if kit is None:
            self._tell(order, Outcome.FAILED, "this node has no parameters for it")
            return
        task = asyncio.create_task(_perform(kit, order.action))
        self._tasks[order.id] = task
        if order.id in self._cancelled:
            task.cancel()
        try:
            await asyncio.wait([task], timeout=order.limit_ms / 1_000)
            in_time = task.done()
            if not in_time:
                task.cancel()
                await asyncio.wait([task], timeout=GIVE_UP_S)
        finally:
            task.cancel()  # when the agent itself ends in the middle
            del self._tasks[order.id]
        if not task.done():
            self._tell(
                order, Outcome.TIMED_OUT, "it can't even be ended; what it started may hang in the kernel"
            )
        elif not in_time:
            self._tell(order, Outcome.TIMED_OUT, f"not done within {order.limit_ms / 1_000:g} s; ended")
        else:
            self._tell(order, *_ending(task, order, cancelled=order.id in self._cancelled))

    def _tell(self, order: StartAction, outcome: Outcome, detail: str) -> None:
        self._cancelled.discard(order.id)
        self._finished(ActionFinished(self._clock_ms(), order.id, outcome, detail[-MOST_DETAIL:]))


async def _perform(kit: Kit[Any], action: Action) -> Check:
    match action:
        case Action.CHECK:
            return await kit.quick_check()
        case Action.RESTORE:
            await kit.restore()
        case Action.REMOVE:
            await kit.remove()
        case Action.FORCE_REMOVE:
            await kit.force_remove()
        case Action.RECOVER:
            await kit.recover()
    return Check.ok()


def _ending(task: asyncio.Task[Check], order: StartAction, *, cancelled: bool) -> tuple[Outcome, str]:
    if task.cancelled():
        return (Outcome.CANCELLED, "") if cancelled else (Outcome.FAILED, "the kit cancelled itself")
    match task.exception():
        case None:
            check = task.result()
            return _OF_HEALTH[check.health], check.why
        case Unanswered() as error:
            return Outcome.UNKNOWN, error.reason
        case KitError() as error:
            return Outcome.FAILED, error.reason
        case error:  # a kit's bug must not take the agent down, nor be hidden
            _journal.error("%s: %s: the kit broke", order.tag, order.action.value, exc_info=error)
            return Outcome.FAILED, f"the kit broke: {type(error).__name__}: {error}"
