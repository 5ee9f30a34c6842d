"""What the core asks of the world outside: each question is answered once, by an event."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from agent.config.hostports import HostPort
from agent.core.effects import AskArbiter
from agent.core.events import ArbiterAnswered, Event, FencingEnded, OutsideProbed
from agent.core.ids import HierarchyId, NodeId
from agent.core.messages import ArbiterRecord, Register
from agent.core.states import ArbiterOutcome
from agent.fencing.contract import FenceFailed
from agent.fencing.levels import Level, Levels
from agent.runtime import outside as module
from agent.runtime.clock import boottime_ms
from agent.runtime.outside import Outside
from tests.arbiters.fake import ScriptedArbiter, ScriptedStore, Trouble
from tests.runtime.inside import read_config, write_config
from tests.runtime.waiting import on_loop

ME, OTHER, NAME = NodeId("a"), NodeId("b"), HierarchyId("app")
WISH = ArbiterRecord(register=Register(hierarchy=NAME, term=3, owner=ME), term=3, candidate=ME)


class Asked:
    """An outside with a scripted arbiter and fence, and the events that it fed."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.fed = ScriptedStore(), asyncio.Queue[Event](10)
        self.refuses = False
        self.config = read_config(write_config(home))
        monkeypatch.setattr(module, "_open_arbiter", lambda _config: ScriptedArbiter(self.store))
        levels = Levels([Level(name="power", fence=self, tries=1)])
        monkeypatch.setattr(module, "open_levels", lambda *_: levels)
        self.outside = Outside(ME, self.config, boottime_ms, self.fed.put_nowait)

    async def fence(self, node: NodeId) -> str:
        if self.refuses:
            raise FenceFailed("not permitted", "give the right")
        return f"{node} is stopped"

    async def answer(self) -> Event:
        return await asyncio.wait_for(self.fed.get(), 10)

    async def arbiter(
        self, write: ArbiterRecord | None, expected: str | None, request: int
    ) -> ArbiterAnswered:
        self.outside.ask_arbiter(AskArbiter(request, NAME, write, expected))
        answer = await self.answer()
        assert isinstance(answer, ArbiterAnswered)
        assert answer.request == request
        return answer


@on_loop
async def test_the_arbiters_answers_come_back_in_the_cores_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(tmp_path, monkeypatch)
    await asked.outside.warm_up()
    nothing = await asked.arbiter(None, None, 1)
    assert (nothing.outcome, nothing.record, nothing.version) == (ArbiterOutcome.OK, None, None)
    written = await asked.arbiter(WISH, None, 2)
    assert (written.outcome, written.record) == (ArbiterOutcome.OK, WISH)
    read = await asked.arbiter(None, None, 3)
    assert (read.record, read.version) == (WISH, written.version)
    again = await asked.arbiter(WISH, read.version, 4)
    assert again.version != read.version, "a renewal is seen by others, though it says the same"
    refused = await asked.arbiter(replace(WISH, term=4, candidate=OTHER), read.version, 5)
    assert (refused.outcome, refused.record, refused.version) == (
        ArbiterOutcome.CONFLICT,
        WISH,
        again.version,
    )
    await asked.outside.close()


@on_loop
async def test_silence_and_refusal_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(tmp_path, monkeypatch)
    await asked.outside.warm_up()
    asked.store.trouble("read", Trouble.THROTTLED, None)
    assert (await asked.arbiter(None, None, 1)).outcome is ArbiterOutcome.UNANSWERED
    asked.store.heal()
    asked.store.trouble("read", Trouble.DENIED, None)
    refused = await asked.arbiter(None, None, 2)
    assert refused.outcome is ArbiterOutcome.REFUSED
    assert refused.why
    await asked.outside.close()


@on_loop
async def test_the_first_question_waits_for_what_must_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(tmp_path, monkeypatch)
    asked.outside.ask_arbiter(AskArbiter(1, NAME, None, None))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asked.fed.get(), 0.05)
    await asked.outside.warm_up()
    assert isinstance(await asked.answer(), ArbiterAnswered)
    await asked.outside.close()


@on_loop
async def test_evidence_of_a_fence_comes_back_and_so_does_its_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(tmp_path, monkeypatch)
    asked.outside.fence(OTHER)
    ended = await asked.answer()
    assert isinstance(ended, FencingEnded)
    assert (ended.node, ended.fenced, ended.text) == (OTHER, True, "b is fenced by power: b is stopped")
    asked.refuses = True
    asked.outside.fence(OTHER)
    ended = await asked.answer()
    assert isinstance(ended, FencingEnded)
    assert not ended.fenced
    assert ended.text == "b is not fenced: power: not permitted (give the right)"
    await asked.outside.close()


@on_loop
async def test_the_outside_is_counted_by_connections_that_come_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Asked(tmp_path, monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # nobody listens there
        ports = (listener.getsockname()[1], silent.getsockname()[1])
        addresses = tuple(HostPort("127.0.0.1", port) for port in ports)
        asked.outside.use(replace(asked.config, isolation_check=addresses))
        asked.outside.probe()
        probed = await asked.answer()
    assert isinstance(probed, OutsideProbed)
    assert (probed.reached, probed.asked) == (1, 2)
    await asked.outside.close()
