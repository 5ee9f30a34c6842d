"""What kits do between actions: attend what is in service here, stand by where it certainly isn't.

Keeps: at most one duty for a resource, and none while an action changes it; a duty that breaks is begun again
after a pause, is told once, and takes nothing down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from agent.core.hierarchy import HierarchyMachine
from agent.core.ids import Tag
from agent.core.mind import Mind
from agent.core.state import Activity, Goal, ResourceLife
from agent.core.states import Action
from recovery_kits.contract import Kit, KitError

PAUSES_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # after each break in a row; the last one then stays
END_WITHIN_S = 10.0  # a duty that was cancelled; then the action goes on without its end

_journal = logging.getLogger(__name__)
_LOOKS = frozenset({Action.CHECK, Action.REASSERT})  # actions that don't change whether it runs here


class Duty(Enum):
    """What a resource's kit is doing between actions."""

    NONE = "none"
    ATTEND = "attend"
    STAND_BY = "stand-by"


class Duties:
    """One task for each resource whose kit has such duties."""

    def __init__(self, group: asyncio.TaskGroup, broken: Callable[[Tag, str], None]) -> None:
        self._group, self._broken = group, broken
        self._kits: dict[Tag, Kit[Any]] = {}
        self._now: dict[Tag, tuple[Duty, Kit[Any]]] = {}
        self._tasks: dict[Tag, asyncio.Task[None]] = {}
        self._ending: dict[Tag, set[asyncio.Task[None]]] = {}  # cancelled, and not gone yet

    def use(self, kits: Mapping[Tag, Kit[Any]]) -> None:
        """From now on these kits; those in progress end with the next `see`."""
        self._kits = {tag: kit for tag, kit in kits.items() if _has_duties(kit)}

    def see(self, mind: Mind) -> None:
        """The core has taken a step: begin and end what follows from it."""
        if not self._kits and not self._now:
            return
        wanted = {
            tag: (_duty(machine, life), kit)
            for machine in mind.machines.values()
            for tag, life in machine.life.resources.items()
            if (kit := self._kits.get(tag)) is not None
        }
        for tag in {*wanted, *self._now}:
            before, now = self._now.get(tag), wanted.get(tag)
            if before != now:
                self._change(tag, now)

    async def suspended(self, tag: Tag) -> None:
        """Return when nothing of the duty is left that `see` has ended because an action begins."""
        if ending := self._ending.get(tag):
            await asyncio.wait(set(ending), timeout=END_WITHIN_S)

    def abandon(self) -> None:
        """The agent ends: what was begun is left as it is."""
        for task in self._tasks.values():
            task.cancel()

    def _change(self, tag: Tag, now: tuple[Duty, Kit[Any]] | None) -> None:
        ending = self._ending.setdefault(tag, set())
        if (before := self._tasks.pop(tag, None)) is not None and before.cancel():
            ending.add(before)
            before.add_done_callback(ending.discard)
        if now is None:
            del self._now[tag]
            return
        self._now[tag] = now
        duty, kit = now
        if duty is not Duty.NONE:
            follow = self._follow(tag, duty, kit, set(ending))
            self._tasks[tag] = self._group.create_task(follow, name=f"{duty.value} {tag}")

    async def _follow(self, tag: Tag, duty: Duty, kit: Kit[Any], before: set[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        for breaks in range(1 << 62):
            try:
                await (kit.attend() if duty is Duty.ATTEND else kit.stand_by())
            except Exception as error:  # noqa: BLE001 (a kit's bug must not take the agent down)
                why = error.reason if isinstance(error, KitError) else f"{type(error).__name__}: {error}"
                _journal.warning("%s: %s: %s", tag, duty.value, why)
                if breaks == 0:
                    self._broken(tag, f"{duty.value}: {why}")
                await asyncio.sleep(PAUSES_S[min(breaks, len(PAUSES_S) - 1)])
            else:
                return


def _has_duties(kit: Kit[Any]) -> bool:
    return type(kit).attend is not Kit.attend or type(kit).stand_by is not Kit.stand_by


def _duty(machine: HierarchyMachine, life: ResourceLife) -> Duty:
    if life.running is not None and life.running.action not in _LOOKS:
        return Duty.NONE
    if life.activity is Activity.ACTIVE:
        return Duty.ATTEND
    idle = life.activity is Activity.INACTIVE and machine.life.goal is Goal.DOWN
    return Duty.STAND_BY if idle else Duty.NONE
