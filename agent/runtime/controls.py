"""What operators ask of a kit alone: done beside everything else, and always answered.

Keeps: exactly one `KitAnswered` for every `ControlKit`, within `LIMIT_S`; a control that takes longer goes on
only if the kit began it as a task of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from agent.core.commands import DETAILS
from agent.core.effects import ControlKit
from agent.core.events import KitAnswered
from agent.core.ids import Instant, Tag
from recovery_kits.contract import Kit, KitError

LIMIT_S = 4.0  # less than a node waits for another's answer
MOST_AT_ONCE = 16

_journal = logging.getLogger(__name__)


class Controls:
    """The kits of this node, as far as operators may ask something of them."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        clock_ms: Callable[[], Instant],
        answered: Callable[[KitAnswered], None],
    ) -> None:
        self._group, self._clock_ms, self._answered = group, clock_ms, answered
        self._kits: Mapping[Tag, Kit[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def use(self, kits: Mapping[Tag, Kit[Any]]) -> None:
        """From now on ask these."""
        self._kits = kits

    def start(self, order: ControlKit) -> None:
        """Begin it; the answer is told to `answered`."""
        if len(self._tasks) >= MOST_AT_ONCE:
            self._tell(order, accepted=False, text="this node is busy with other requests; ask again")
            return
        task = self._group.create_task(self._follow(order), name=f"{order.verb} {order.tag}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def abandon(self) -> None:
        """The agent ends: nobody waits any more."""
        for task in self._tasks:
            task.cancel()

    async def _follow(self, order: ControlKit) -> None:
        kit = self._kits.get(order.tag)
        if kit is None:
            self._tell(order, accepted=False, text="this node has no parameters for it")
            return
        try:
            async with asyncio.timeout(LIMIT_S):
                text = await _ask(kit, order)
        except TimeoutError:
            text = f"not done within {LIMIT_S:g} s, and given up; see the events for what it met"
            self._tell(order, accepted=False, text=text)
        except KitError as error:
            self._tell(order, accepted=False, text=error.reason)
        except Exception as error:  # noqa: BLE001 (a kit's bug must not take the agent down, nor be hidden)
            _journal.error("%s: %s: the kit broke", order.tag, order.verb, exc_info=error)
            self._tell(order, accepted=False, text=f"the kit broke: {type(error).__name__}: {error}")
        else:
            self._tell(order, accepted=True, text=text)

    def _tell(self, order: ControlKit, *, accepted: bool, text: str) -> None:
        self._answered(KitAnswered(self._clock_ms(), order.request, accepted, text))


async def _ask(kit: Kit[Any], order: ControlKit) -> str:
    if order.verb == DETAILS:
        return json.dumps(kit.details())
    return await kit.control(order.verb, dict(order.arguments))
