"""For every StartAction exactly one ActionFinished, whatever the kit does."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest

from agent.core.effects import StartAction
from agent.core.events import ActionFinished
from agent.core.ids import ActionId, HierarchyId, Instant, Tag
from agent.core.states import Action, Outcome
from agent.runtime import actions as module
from agent.runtime.actions import Actions
from recovery_kits.contract import Check, Kit, KitError, Tools, Unanswered
from tests.runtime.waiting import on_loop, until

TAG = Tag("ip-vip")
Behaviour = Callable[["FakeKit"], Awaitable[Any]]


@dataclass(frozen=True, kw_only=True)
class NoParameters:
    """None."""


class FakeKit(Kit[NoParameters]):
    """Does what the test says, and remembers which action it was."""

    kind, summary, Parameters = "fake", "for tests", NoParameters

    def __init__(self, behave: Behaviour) -> None:
        super().__init__(NoParameters(), cast(Tools, None))
        self.behave, self.called, self.cancelled = behave, list[str](), 0

    async def restore(self) -> None:
        await self._do("restore")

    async def remove(self) -> None:
        await self._do("remove")

    async def force_remove(self) -> None:
        await self._do("force_remove")

    async def recover(self) -> None:
        await self._do("recover")

    async def quick_check(self) -> Check:
        return await self._do("quick_check")  # type: ignore[no-any-return]  # a broken kit may return anything

    async def _do(self, action: str) -> Any:
        self.called.append(action)
        try:
            return await self.behave(self)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class World:
    """Actions with one kit, and what they told."""

    def __init__(self, group: asyncio.TaskGroup, kit: FakeKit) -> None:
        self.kit, self.told, self.at = kit, list[ActionFinished](), 0
        self.actions = Actions(group, self._clock, self.told.append)
        self.actions.use({TAG: kit})
        self._last = 0

    def start(self, action: Action = Action.RESTORE, limit_ms: int = 20_000, tag: Tag = TAG) -> ActionId:
        self._last += 1
        order = StartAction(ActionId(self._last), HierarchyId("app"), tag, action, limit_ms)
        self.actions.start(order)
        return order.id

    async def end(self) -> tuple[Outcome, str]:
        """The one end there was."""
        await self.actions.idle()
        (event,) = self.told
        self.told.clear()
        return event.outcome, event.detail

    def _clock(self) -> Instant:
        self.at += 1
        return Instant(self.at)


@asynccontextmanager
async def world(behave: Behaviour) -> AsyncIterator[World]:
    async with asyncio.TaskGroup() as group:
        made = World(group, FakeKit(behave))
        yield made
        await made.actions.idle()
    assert not made.told, "told more than the test looked at"
    assert not made.actions._in_progress
    assert not made.actions._followers


def raising(error: BaseException) -> Behaviour:
    async def behave(_kit: FakeKit) -> None:
        raise error

    return behave


def returning(result: Any) -> Behaviour:
    async def behave(_kit: FakeKit) -> Any:
        return result

    return behave


async def forever(_kit: FakeKit) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("action", "method"),
    [
        (Action.CHECK, "quick_check"),
        (Action.RESTORE, "restore"),
        (Action.REMOVE, "remove"),
        (Action.FORCE_REMOVE, "force_remove"),
        (Action.RECOVER, "recover"),
    ],
)
@on_loop
async def test_each_action_calls_its_method_once(action: Action, method: str) -> None:
    async with world(returning(Check.ok())) as each:
        each.start(action)
        assert await each.end() == (Outcome.OK, "")
        assert each.kit.called == [method]


BROKE = "the kit broke: "
NOT_TEXT: Any = ValueError("no text")


@pytest.mark.parametrize(
    ("action", "behave", "outcome", "detail"),
    [
        (Action.CHECK, returning(Check.failed("gone")), Outcome.FAILED, "gone"),
        (Action.CHECK, returning(Check.unknown("IMDS is silent")), Outcome.UNKNOWN, "IMDS is silent"),
        (Action.RESTORE, raising(KitError("t", "restore", "no eth9")), Outcome.FAILED, "no eth9"),
        (Action.RESTORE, raising(Unanswered("t", "restore", "throttled")), Outcome.UNKNOWN, "throttled"),
        (Action.CHECK, raising(Unanswered("t", "quick-check", "no answer")), Outcome.UNKNOWN, "no answer"),
        (Action.REMOVE, raising(asyncio.CancelledError()), Outcome.FAILED, "the kit cancelled itself"),
        # Kits that are broken, each in its own way:
        (
            Action.REMOVE,
            raising(ZeroDivisionError("oops")),
            Outcome.FAILED,
            f"{BROKE}ZeroDivisionError: oops",
        ),
        (
            Action.REMOVE,
            raising(SystemExit(3)),
            Outcome.FAILED,
            f"{BROKE}RuntimeError: it called sys.exit(3)",
        ),
        (Action.CHECK, returning(None), Outcome.FAILED, f"{BROKE}TypeError: quick_check returned None"),
        (Action.CHECK, returning(Check.failed(NOT_TEXT)), Outcome.FAILED, "no text"),
        (Action.REMOVE, raising(KitError("t", "remove", NOT_TEXT)), Outcome.FAILED, "no text"),
    ],
)
@on_loop
async def test_how_a_kit_ends_is_the_outcome(
    action: Action, behave: Behaviour, outcome: Outcome, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with world(behave) as each:
        each.start(action)
        ended, told = await each.end()
        assert ended is outcome
        assert told.startswith(detail)
    broke = [record for record in caplog.records if record.exc_info]
    assert bool(broke) == told.startswith(BROKE), "a defect is logged with its traceback"


@on_loop
async def test_details_are_bounded_and_keep_their_beginning_and_their_end() -> None:
    async with world(raising(KitError("t", "restore", "it failed: " + "x" * 100_000 + "the end"))) as each:
        each.start()
        _, detail = await each.end()
        assert len(detail) == module.MOST_DETAIL
        assert detail.startswith("it failed: ")
        assert detail.endswith("the end")


@on_loop
async def test_an_action_out_of_time_is_ended() -> None:
    async with world(forever) as each:
        each.start(limit_ms=20)
        assert await each.end() == (Outcome.TIMED_OUT, "not done within 0.02 s; ended")
        assert each.kit.cancelled == 1


async def _stubborn(kit: FakeKit) -> None:
    while kit.cancelled < 100:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            kit.cancelled += 1
            if kit.called[-1:] == ["let go"]:
                raise


@pytest.mark.parametrize("early", [False, True])
@on_loop
async def test_a_kit_that_ignores_its_end_does_not_hold_up_the_rest(
    early: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GIVE_UP_S", 0.05)
    async with world(_stubborn) as each:
        action = each.start(limit_ms=20 if not early else 60_000)
        await until(lambda: each.kit.called)
        if early:
            each.actions.cancel(action)
        outcome, detail = await each.end()
        assert outcome is Outcome.TIMED_OUT
        assert detail.startswith("it can't even be ended")
        each.kit.called.append("let go")
        (left,) = [task for task in asyncio.all_tasks() if task.get_name() == f"kit of {TAG}"]
        left.cancel()
        await asyncio.wait([left])


@on_loop
async def test_cancelling_ends_it_early_and_once() -> None:
    async with world(forever) as each:
        action = each.start()
        await until(lambda: each.kit.called)
        each.actions.cancel(action)
        each.actions.cancel(action)
        assert await each.end() == (Outcome.CANCELLED, "")


@on_loop
async def test_cancelling_before_it_begins_never_calls_the_kit() -> None:
    async with world(forever) as each:
        each.actions.cancel(each.start())
        assert await each.end() == (Outcome.CANCELLED, "")
        assert not each.kit.called


@on_loop
async def test_cancelling_what_has_ended_changes_nothing() -> None:
    async with world(returning(Check.ok())) as each:
        action = each.start()
        assert await each.end() == (Outcome.OK, "")
        each.actions.cancel(action)
        each.actions.cancel(ActionId(99))


@on_loop
async def test_work_that_was_done_when_it_was_cancelled_counts_as_done() -> None:
    async with world(forever) as each:
        begun = asyncio.Event()

        async def finish_when_cancelled(_kit: FakeKit) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

        each.kit.behave = finish_when_cancelled
        action = each.start()
        await begun.wait()
        each.actions.cancel(action)
        assert await each.end() == (Outcome.OK, "")


@on_loop
async def test_a_tag_that_this_node_has_no_kit_for_is_a_failure() -> None:
    async with world(forever) as each:
        each.start(tag=Tag("elsewhere"))
        assert await each.end() == (Outcome.FAILED, "this node has no parameters for it")


@on_loop
async def test_actions_in_progress_go_on_with_the_kit_they_began_with() -> None:
    async with world(forever) as each:
        let_go = asyncio.Event()

        async def wait(_kit: FakeKit) -> None:
            await let_go.wait()

        each.kit.behave = wait
        each.start()
        await until(lambda: each.kit.called)
        other = FakeKit(raising(KitError("t", "restore", "the other kit")))
        each.actions.use({TAG: other})
        let_go.set()
        assert await each.end() == (Outcome.OK, "")
        each.start()
        assert await each.end() == (Outcome.FAILED, "the other kit")


@on_loop
async def test_the_agents_end_leaves_no_task() -> None:
    async with asyncio.TaskGroup() as group:
        each = World(group, FakeKit(forever))
        each.start()
        await until(lambda: each.kit.called)
        each.actions.abandon()
    await until(lambda: not [task for task in asyncio.all_tasks() if "vip" in task.get_name()])
    assert each.kit.cancelled == 1


@on_loop
async def test_thousands_of_actions_leave_nothing_behind() -> None:
    async with world(returning(Check.ok())) as each:

        async def some(count: int) -> None:
            for number in range(count):
                action = each.start(Action.CHECK)
                if number % 3 == 0:
                    each.actions.cancel(action)
                if number % 50 == 49:
                    await each.actions.idle()
                    each.actions.cancel(action)
            assert len(each.told) == count
            each.told.clear()
            gc.collect()

        await some(500)
        before, tasks = sys.getallocatedblocks(), len(asyncio.all_tasks())
        await some(5_000)
        each.kit.called.clear()
        assert sys.getallocatedblocks() - before < 2_000
        assert len(asyncio.all_tasks()) == tasks
