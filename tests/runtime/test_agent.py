"""The running agent: one event at a time, ticks whatever happens, no silent end."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

import pytest

from agent.core.effects import Answer, Durable, Effect, FenceMyself
from agent.core.events import CommandGiven, Event, Tick
from agent.core.ids import RequestId, Tag
from agent.core.messages import BringInService, Recover, TakeOutOfService
from agent.core.node import Node
from agent.runtime import journal
from agent.runtime.clock import boottime_ms
from agent.runtime.kitbox import KitBroken
from agent.runtime.store import StoreError
from recovery_kits.generic import GenericKit
from tests.runtime.inside import ME, NAME, PEER, make_agent, read_config, running, told, write_config
from tests.runtime.waiting import on_loop, until

STOP = TakeOutOfService(hierarchy=NAME)
START = BringInService(hierarchy=NAME, node=ME)


@on_loop
async def test_what_runs_is_adopted_and_commands_are_answered(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        assert told(agent, "adopted")
        assert (await agent.command(STOP)).accepted
        await until(lambda: told(agent, "out-of-service"))
        refused = await agent.command(BringInService(hierarchy=NAME, node=PEER))
        assert not refused.accepted
        assert not agent._answers
    again = make_agent(tmp_path, agent.config)
    async with running(again):
        assert again.node is not None
        assert again.node.mind.authority.register(NAME).held, "what an operator asked survives a restart"


@on_loop
async def test_ticks_come_each_interval_however_much_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, events = make_agent(tmp_path), list[Event]()
    step = Node.step

    def record(node: Node, event: Event) -> list[Effect]:
        events.append(event)
        return step(node, event)

    monkeypatch.setattr(Node, "step", record)
    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        began = len(events)
        for _ in range(200):  # far more often than the interval, for many intervals
            await agent.command(START)
            await asyncio.sleep(0.005)
        ticks = [event.at for event in events[began:] if isinstance(event, Tick)]
        others = [event.at for event in events[began:] if not isinstance(event, Tick)]
        intervals = (others[-1] - others[0]) // agent.config.cluster.heartbeat.interval_ms
        assert len(ticks) >= intervals // 2 > 3
        assert agent.works


@on_loop
async def test_an_agent_whose_core_gets_no_ticks_does_not_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(tmp_path)
    assert agent.works is False
    async with running(agent):
        await until(lambda: agent.works)
        monkeypatch.setattr(agent, "_tick", lambda: None)
        agent._timer_due = boottime_ms()  # so that the next event sets the timer anew
        agent.feed(Tick(boottime_ms()))
        await until(lambda: not agent.works)


@on_loop
async def test_a_step_that_breaks_ends_the_agent_and_is_never_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, steps = make_agent(tmp_path), list[Event]()
    step = Node.step

    def break_on_a_command(node: Node, event: Event) -> list[Effect]:
        steps.append(event)
        assert not isinstance(event, CommandGiven), "our own mistake"
        return step(node, event)

    monkeypatch.setattr(Node, "step", break_on_a_command)
    await agent.open()
    task = asyncio.create_task(agent.run())
    await until(agent.running.is_set)
    asking = asyncio.create_task(agent.command(STOP))
    with pytest.raises(ExceptionGroup) as ended:
        await task
    assert ended.group_contains(AssertionError, match="our own mistake")
    assert isinstance(steps[-1], CommandGiven)
    asking.cancel()
    await asyncio.wait([asking])
    await until(lambda: not [each for each in asyncio.all_tasks() if each.get_name().startswith("kit of")])


@on_loop
async def test_a_port_in_use_is_told_with_its_address_before_the_agent_runs(tmp_path: Path) -> None:
    first = make_agent(tmp_path)
    async with running(first):
        second = make_agent(tmp_path / "second", first.config)
        await second.open()
        with pytest.raises(ExceptionGroup) as ended:
            await second.run()
        assert ended.group_contains(OSError, match=r"Address already in use: '127.92.1.1 port \d+'")
        assert not second.running.is_set()


@on_loop
async def test_a_store_that_fails_is_an_alarm_and_mends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, saved = make_agent(tmp_path), list[Durable]()
    save = agent._store.save

    async def fail(durable: Durable, boot_id: str) -> None:
        raise StoreError("state.db: database or disk is full")

    async def work(durable: Durable, boot_id: str) -> None:
        await save(durable, boot_id)
        saved.append(durable)

    monkeypatch.setattr(agent._store, "save", fail)
    async with running(agent):
        await until(lambda: told(agent, "store-failed"))
        assert not told(agent, "in-service"), "nothing is taken over that can't be recorded"
        monkeypatch.setattr(agent._store, "save", work)
        await until(lambda: told(agent, "in-service"))
        assert told(agent, "store-mended")
        assert saved[-1].registers[0].owner == ME


@on_loop
async def test_a_node_that_fences_itself_does_not_leave_in_good_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reboot ends the agent, too: were it to say goodbye, peers would think that all is well here."""
    agent, goodbyes = make_agent(tmp_path), list[str]()

    async def goodbye() -> None:
        goodbyes.append("said")

    monkeypatch.setattr(agent.comm, "goodbye", goodbye)
    async with running(agent):
        agent._perform(FenceMyself("db can't be removed"))
        agent._perform(FenceMyself("nor can web"))
        await until((tmp_path / "fenced").exists)
    assert not goodbyes
    assert (tmp_path / "fenced").read_text() == "fenced\n", "once a second, not once for each reason"
    again = make_agent(tmp_path, agent.config)
    monkeypatch.setattr(again.comm, "goodbye", goodbye)
    async with running(again):
        pass
    assert goodbyes == ["said"]


@on_loop
async def test_a_kit_that_cannot_be_made_is_refused_and_the_kits_before_it_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(tmp_path)

    def refuse(*_: object) -> None:
        raise ZeroDivisionError("oops")

    async with running(agent):
        before, digest = agent._kits.made, agent.config.digest
        other = read_config(write_config(tmp_path, more='info = "changed"\n'))
        with monkeypatch.context() as patched:
            patched.setattr(GenericKit, "__init__", refuse)
            with pytest.raises(KitBroken, match="db: the kit generic can't be made: ZeroDivisionError: oops"):
                agent.adopt(other)
            with pytest.raises(KitBroken):
                await make_agent(tmp_path / "other", other).open()
        assert agent._kits.made is before
        assert agent.config.digest == digest == agent.comm.config_digest
        agent.adopt(other)
        assert agent.config.digest == other.digest == agent.comm.config_digest


@on_loop
async def test_an_unknown_or_late_answer_is_nobodys(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    async with running(agent):
        asking = asyncio.create_task(agent.command(STOP))
        asking.cancel()
        await asyncio.wait([asking])
        assert not agent._answers
        agent._perform(Answer(RequestId("nobody's"), accepted=True, text=""))


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@on_loop
async def test_a_long_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "WRITE_EVERY_S", 0.01)
    agent = make_agent(tmp_path)

    async def some(count: int) -> None:
        for _ in range(count):
            await agent.command(Recover(hierarchy=NAME, tag=Tag("db")))
            agent.feed(Tick(boottime_ms()))
        await agent.notices.flush()
        await until(agent._journal._lines.empty)
        gc.collect()

    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        await some(6_000)  # fills what is bounded
        blocks, tasks, files = (
            sys.getallocatedblocks(),
            len(asyncio.all_tasks()),
            open_files(),
        )
        await some(3_000)
        assert sys.getallocatedblocks() - blocks < 3_000
        assert len(asyncio.all_tasks()) <= tasks + 2  # a check, perhaps
        assert open_files() <= files + 6
        assert not agent._answers
        assert not agent._queue
