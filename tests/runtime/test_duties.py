"""Kits attend what runs here and stand by where it doesn't; nothing of it overlaps an action."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.core.messages import BringInService, TakeOutOfService
from recovery_kits.generic import GenericKit
from tests.runtime.inside import ME, NAME, make_agent, read_config, running, told, write_config
from tests.runtime.waiting import on_loop, until

STOP = TakeOutOfService(hierarchy=NAME)
START = BringInService(hierarchy=NAME, node=ME)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a kit with duties does, in order; each duty needs a moment to end."""
    seen = list[str]()

    async def for_ever(name: str) -> None:
        seen.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.02)
            seen.append(f"{name} ended")

    remove, restore = GenericKit.remove, GenericKit.restore

    async def removed(kit: GenericKit) -> None:
        seen.append("remove")
        await remove(kit)
        seen.append("removed")

    async def restored(kit: GenericKit) -> None:
        seen.append("restore")
        await restore(kit)
        seen.append("restored")

    monkeypatch.setattr(GenericKit, "attend", lambda _: for_ever("attend"))
    monkeypatch.setattr(GenericKit, "stand_by", lambda _: for_ever("stand by"))
    monkeypatch.setattr(GenericKit, "remove", removed)
    monkeypatch.setattr(GenericKit, "restore", restored)
    return seen


@on_loop
async def test_a_duty_ends_before_an_action_begins_and_the_next_begins_after_it(
    tmp_path: Path, seen: list[str]
) -> None:
    agent = make_agent(tmp_path)
    async with running(agent):
        await until(lambda: told(agent, "in-service") and seen)
        assert (await agent.command(STOP)).accepted
        await until(lambda: told(agent, "out-of-service") and seen[-1] == "stand by")
        assert (await agent.command(START)).accepted
        await until(lambda: seen[-1] == "attend" and len(seen) > 5)
    moved = ["attend", "attend ended", "remove", "removed", "stand by"]
    assert seen == [*moved, "stand by ended", "restore", "restored", "attend", "attend ended"]


@on_loop
async def test_checks_go_on_beside_a_duty(tmp_path: Path, seen: list[str]) -> None:
    agent = make_agent(tmp_path, read_config(write_config(tmp_path, more='check_interval = "100ms"\n')))
    async with running(agent):
        await until(lambda: told(agent, "in-service") and seen)
        checks = 0

        async def counted(kit: GenericKit) -> object:
            nonlocal checks
            checks += 1
            return await check(kit)

        check, GenericKit.quick_check = GenericKit.quick_check, counted  # type: ignore[method-assign, assignment]
        try:
            await until(lambda: checks >= 2)
        finally:
            GenericKit.quick_check = check  # type: ignore[method-assign]
        assert seen == ["attend"]


@on_loop
async def test_a_duty_that_breaks_is_told_once_and_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = list[float]()

    async def breaks(_kit: GenericKit) -> None:
        tries.append(asyncio.get_running_loop().time())
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(GenericKit, "attend", breaks)
    monkeypatch.setattr("agent.runtime.duties.PAUSES_S", (0.01, 0.02))
    agent = make_agent(tmp_path)
    async with running(agent):
        await until(lambda: len(tries) >= 4)
        notices = [
            each.notice for each in agent.notices.newest(100) if each.notice.kind.value == "duty-broke"
        ]
    assert [each.text for each in notices] == ["attend: RuntimeError: the disk is on fire"]


@on_loop
async def test_kits_without_duties_cost_no_task(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        names = [each.get_name() for each in asyncio.all_tasks()]
    assert not [name for name in names if name.startswith(("attend ", "stand-by "))]
