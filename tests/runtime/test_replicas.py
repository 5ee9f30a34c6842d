"""A kit goes on without a copy only once that is agreed, and hears soon when it can't be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.core.ids import NodeId
from agent.core.messages import TakeOutOfService
from agent.core.model import Resource
from agent.runtime.agent import Agent
from agent.runtime.store import StoreError
from recovery_kits.contract import NotAgreed
from recovery_kits.generic import GenericKit
from tests.runtime.inside import ME, NAME, PEER, make_agent, running, told
from tests.runtime.waiting import on_loop, until


@pytest.fixture(autouse=True)
def replicated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generic kit's data has copies; none of them is asked for before an application starts."""
    monkeypatch.setattr(GenericKit, "replicated", True)
    monkeypatch.setattr("agent.core.mind.Mind.why_not_in_sync", lambda _mind, _name: "")


def resource(agent: Agent) -> Resource:
    return agent.config.cluster.hierarchies[0].resources[0]


@on_loop
async def test_what_is_agreed_is_in_the_register_and_on_disk(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    copies = agent._agreements.of(NAME, resource(agent).tag)
    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        await copies.agree({ME, PEER})
        assert copies.in_sync() == tuple(agent.config.cluster.hierarchies[0].nodes)
        await copies.agree({ME})
        assert copies.in_sync() == (ME,)
    kept = await make_agent(tmp_path, agent.config)._store.load()
    assert kept.durable.registers[0].in_sync == (ME,)


@on_loop
async def test_nothing_is_agreed_while_the_disk_does_not_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(tmp_path)
    copies = agent._agreements.of(NAME, resource(agent).tag)
    save = agent._store.save

    async def fail(*_: object) -> None:
        raise StoreError("state.db: database or disk is full")

    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        await copies.agree({ME, PEER})
        monkeypatch.setattr(agent._store, "save", fail)
        asked = asyncio.create_task(copies.agree({ME}))
        await until(lambda: told(agent, "store-failed"))
        assert not asked.done()
        monkeypatch.setattr(agent._store, "save", save)
        await asked
        assert copies.in_sync() == (ME,)


@on_loop
async def test_a_node_that_does_not_own_it_hears_so(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    copies = agent._agreements.of(NAME, resource(agent).tag)
    with pytest.raises(NotAgreed):
        await copies.agree({ME})  # no step was taken yet
    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        await agent.command(TakeOutOfService(hierarchy=NAME))
        await until(lambda: told(agent, "out-of-service"))
        with pytest.raises(NotAgreed, match=f"this node doesn't own {NAME}"):
            await copies.agree({ME, NodeId("elsewhere")})
