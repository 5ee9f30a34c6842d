"""Whatever an operator asks of a kit is answered once, whatever the kit does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.core.effects import Answer
from agent.core.ids import Tag
from agent.core.messages import AskKit
from agent.runtime.agent import Agent
from recovery_kits.generic import GenericKit
from tests.runtime.inside import ME, NAME, make_agent, running
from tests.runtime.waiting import on_loop, until


async def ask(agent: Agent, verb: str, **arguments: str) -> Answer:
    pairs = tuple(arguments.items())
    return await agent.command(AskKit(hierarchy=NAME, tag=Tag("db"), node=ME, verb=verb, arguments=pairs))


async def control(kit: GenericKit, verb: str, arguments: Mapping[str, str]) -> str:
    match verb:
        case "pause":
            return f"{arguments['node']} is paused"
        case "break":
            raise RuntimeError("the disk is on fire")
        case "hang":
            await asyncio.Event().wait()
    raise kit.error(verb, "it is paused already; resume it first")


@pytest.fixture(autouse=True)
def controllable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GenericKit, "control", control)
    monkeypatch.setattr(GenericKit, "details", lambda _: {"role": "source", "percent": 12.5})


@on_loop
async def test_answers_refusals_and_breaks_come_back_in_words(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    async with running(agent):
        done = await ask(agent, "pause", node="b")
        assert (done.accepted, done.text) == (True, "b is paused")
        refused = await ask(agent, "resume")
        assert (refused.accepted, refused.text) == (False, "it is paused already; resume it first")
        broken = await ask(agent, "break")
        assert (broken.accepted, broken.text) == (
            False,
            "the kit broke: RuntimeError: the disk is on fire",
        )
        assert json.loads((await ask(agent, "details")).text) == {"role": "source", "percent": 12.5}


@on_loop
async def test_a_kit_that_hangs_is_answered_for_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.runtime.controls.LIMIT_S", 0.3)
    monkeypatch.setattr("agent.runtime.controls.MOST_AT_ONCE", 2)
    agent = make_agent(tmp_path)
    async with running(agent):
        hanging = [asyncio.create_task(ask(agent, "hang")) for _ in range(2)]
        await until(lambda: agent.node is not None and len(agent.node.state.asked_kits) == 2)
        crowded = await ask(agent, "pause", node="b")
        assert (crowded.accepted, crowded.text) == (
            False,
            "this node is busy with other requests; ask again",
        )
        for each in await asyncio.gather(*hanging):
            assert "not done within 0.3 s" in each.text
        assert (await ask(agent, "pause", node="b")).accepted
