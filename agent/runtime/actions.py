"""Runs kits' actions as tasks, each with an owner, a time limit and one end.

Keeps: for every `StartAction` exactly one `ActionFinished` follows, however the kit behaves; nothing
of an ended action goes on running, as far as the kernel lets a process be killed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent.core.effects import StartAction
from agent.core.events import ActionFinished
from agent.core.ids import ActionId, Instant, Tag
from agent.core.states import Action, Health, Outcome
from recovery_kits.contract import Check, Kit, KitError, Unanswered

GIVE_UP_S = 10.0  # for a kit to end after it was cancelled: kill grace included
MOST_DETAIL, MOST_HEAD = 2_000, 200  # characters, and how many of them of the beginning

_journal = logging.getLogger(__name__)
_OF_HEALTH = {Health.OK: Outcome.OK, Health.FAILED: Outcome.FAILED, Health.UNKNOWN: Outcome.UNKNOWN}


async def _at_once(_tag: Tag) -> None:
    """Where kits have no duties."""


class Actions:
    """The actions in progress on this node."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        clock_ms: Callable[[], Instant],
        finished: Callable[[ActionFinished], None],
        idle: Callable[[Tag], Awaitable[None]] = _at_once,
    ) -> None:
        self._group, self._clock_ms, self._finished = group, clock_ms, finished
        self._idle = idle  # returns when nothing else is done for a resource
        self._kits: Mapping[Tag, Kit[Any]] = {}
        self._in_progress: dict[ActionId, asyncio.Event] = {}  # set: it shall end early
        self._followers: set[asyncio.Task[None]] = set()

    def use(self, kits: Mapping[Tag, Kit[Any]]) -> None:
        """From now on start actions with these kits; those in progress go on with theirs."""
        self._kits = kits

    def start(self, order: StartAction) -> None:
        """Begin it; its end is told to `finished`."""
        self._in_progress[order.id] = cancelled = asyncio.Event()
        name = f"{order.action.value} {order.tag}"
        task = self._group.create_task(self._follow(order, cancelled), name=name)
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)

    def cancel(self, action: ActionId) -> None:
        """End it early; one that has ended stays as it ended."""
        if (cancelled := self._in_progress.get(action)) is not None:
            cancelled.set()

    async def idle(self) -> None:
        """Return when no action is in progress."""
        while self._followers:
            await asyncio.wait(self._followers)

    def abandon(self) -> None:
        """The agent ends: wait for nothing any more."""
        for follower in self._followers:
            follower.cancel()

    async def _follow(self, order: StartAction, cancelled: asyncio.Event) -> None:
        kit = self._kits.get(order.tag)
        if kit is None:
            self._tell(order, Outcome.FAILED, "this node has no parameters for it")
            return
        if cancelled.is_set():
            self._tell(order, Outcome.CANCELLED, "")
            return
        await self._idle(order.tag)
        task = asyncio.create_task(_perform(kit, order.action), name=f"kit of {order.tag}")
        early = asyncio.create_task(cancelled.wait())
        try:
            limit_s = order.limit_ms / 1_000
            await asyncio.wait([task, early], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            in_time = task.done() or cancelled.is_set()
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=GIVE_UP_S)
        finally:
            task.cancel()  # when the agent itself ends in the middle
            early.cancel()
        if not task.done():
            self._tell(
                order, Outcome.TIMED_OUT, "it can't even be ended; what it started may hang in the kernel"
            )
        elif not in_time:
            self._tell(order, Outcome.TIMED_OUT, f"not done within {order.limit_ms / 1_000:g} s; ended")
        else:
            self._tell(order, *_ending(task, order, cancelled=cancelled.is_set()))

    def _tell(self, order: StartAction, outcome: Outcome, detail: str) -> None:
        del self._in_progress[order.id]
        self._finished(ActionFinished(self._clock_ms(), order.id, outcome, _short(detail)))


def _short(detail: str) -> str:
    """What failed stands at the beginning, why mostly at the end."""
    if len(detail) <= MOST_DETAIL:
        return detail
    return f"{detail[:MOST_HEAD]} … {detail[-(MOST_DETAIL - MOST_HEAD - 3) :]}"


async def _perform(kit: Kit[Any], action: Action) -> Check:
    try:
        return await _call(kit, action)
    except SystemExit as error:  # asyncio would end the agent for it
        raise RuntimeError(f"it called sys.exit({error.code!r})") from error


async def _call(kit: Kit[Any], action: Action) -> Check:
    match action:
        case Action.CHECK:
            check: object = await kit.quick_check()
            if not isinstance(check, Check):
                raise TypeError(f"quick_check returned {check!r}, not a Check")
            return check
        case Action.RESTORE:
            await kit.restore()
        case Action.REMOVE:
            await kit.remove()
        case Action.FORCE_REMOVE:
            await kit.force_remove()
        case Action.RECOVER:
            await kit.recover()
        case Action.REASSERT:
            await kit.reassert()
    return Check.ok()


def _ending(task: asyncio.Task[Check], order: StartAction, *, cancelled: bool) -> tuple[Outcome, str]:
    if task.cancelled():
        return (Outcome.CANCELLED, "") if cancelled else (Outcome.FAILED, "the kit cancelled itself")
    match task.exception():
        case None:
            check = task.result()
            return _OF_HEALTH[check.health], str(check.why)
        case Unanswered() as error:
            return Outcome.UNKNOWN, str(error.reason)
        case KitError() as error:
            return Outcome.FAILED, str(error.reason)
        case error:  # a kit's bug must not take the agent down, nor be hidden
            _journal.error("%s: %s: the kit broke", order.tag, order.action.value, exc_info=error)
            return Outcome.FAILED, f"the kit broke: {type(error).__name__}: {error}"
