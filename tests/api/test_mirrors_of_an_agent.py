"""Mirrors of a real agent: through its socket and the command line, with a kit that only pretends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.api.client import AgentClient
from agent.api.facade import Facade
from agent.api.mirrors import MirrorReport
from agent.api.server import serve
from agent.cli.main import main
from agent.comm.keys import Keyring
from agent.runtime.agent import Agent
from agent.runtime.reload import Reloader
from recovery_kits.contract import Check
from recovery_kits.generic import GenericKit
from tests.api.exposition import read
from tests.api.fake_agent import until_it_listens
from tests.runtime.inside import KEY, PEER, make_agent, running, told
from tests.runtime.waiting import on_loop, until

LABELS = {"hierarchy": "app", "resource": "db"}


class Pretended:
    """What the kit of `db` does instead of mirroring."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.up, self.whole, self.asked = False, {"a"}, list[tuple[str, dict[str, str]]]()
        self.job: dict[str, Any] | None = None
        self.changed = asyncio.Event()
        monkeypatch.setattr(GenericKit, "replicated", True)
        for method in ("restore", "remove", "quick_check", "attend", "details", "control"):
            monkeypatch.setattr(GenericKit, method, self._on_kit(method))

    def say(self, *whole: str) -> None:
        """Have it agreed that these nodes' copies are whole."""
        self.whole = set(whole)
        self.changed.set()

    def _on_kit(self, method: str) -> Any:
        instead = getattr(self, f"_{method}")

        def run(kit: GenericKit, *given: Any) -> Any:  # a function, so that it gets the kit
            return instead(kit, *given)

        return run

    async def _restore(self, _kit: GenericKit) -> None:
        self.up = True

    async def _remove(self, _kit: GenericKit) -> None:
        self.up = False

    async def _quick_check(self, _kit: GenericKit) -> Check:
        return Check.ok() if self.up else Check.failed("it isn't assembled")

    async def _attend(self, kit: GenericKit) -> None:
        while True:
            self.changed.clear()
            await kit.tools.replicas.agree(self.whole)
            await self.changed.wait()

    def _details(self, kit: GenericKit) -> Mapping[str, Any]:
        if kit.tools.node == PEER:
            return {"role": "target", "disk": {"path": "/dev/vdb", "state": "ok"}}
        leg = {"node": "b", "state": "copying", "percent": 25.0, "bytes_left": 3072}
        return {"role": "source" if self.up else "target", "legs": [leg] if self.up else [], "job": self.job}

    async def _control(self, kit: GenericKit, verb: str, arguments: Mapping[str, str]) -> str:
        self.asked.append((verb, dict(arguments)))
        if verb == "create":
            self.job = {"verb": "create", "state": "running"}
            asyncio.get_running_loop().call_later(0.1, self.job.update, {"state": "done"})
        elif verb != "pause":
            raise kit.error(verb, "it can't do that")
        return f"{verb} has begun"


@contextlib.asynccontextmanager
async def serving(agent: Agent, socket_path: Path) -> AsyncIterator[None]:
    """The agent and its API, until the end of the block."""
    async with running(agent):
        task = asyncio.create_task(serve(Facade(agent, Reloader(agent)), socket_path))
        try:
            await until_it_listens(socket_path)
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


class Kage:
    """The command line, beside the agent's loop."""

    def __init__(self, socket_path: Path) -> None:
        self._socket = socket_path

    async def __call__(self, *argv: str) -> int:
        return await asyncio.to_thread(main, [*argv, "--socket", str(self._socket)])

    async def mirror(self) -> MirrorReport:
        """As the API tells it."""
        return await asyncio.to_thread(AgentClient(self._socket).mirror, "db")


@on_loop
async def test_from_the_first_copy_to_a_forced_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretended, socket_path = Pretended(monkeypatch), tmp_path / "agent.sock"
    agent, kage = make_agent(tmp_path), Kage(socket_path)
    async with serving(agent, socket_path):
        born = await kage.mirror()
        assert born.remarks == [
            "no copy counts yet; name the node whose disk shall be the first: kage mirror create db NODE"
        ]
        assert born.nodes["b"].trouble == "b is never-heard"
        assert born.nodes["a"].details is not None

        assert await kage("mirror", "create", "db", "a", "--mkfs", "xfs") == 0
        assert pretended.asked == [("create", {"mkfs": "xfs"})]
        out = capsys.readouterr().out.splitlines()
        assert out[:2] == [
            "create has begun",
            "a's replica is the truth from now on; bringing app in service on a",
        ]
        assert out[2].startswith("app is in service on a, after ")
        mirror = await kage.mirror()
        assert (mirror.owner, mirror.in_service, mirror.in_sync) == ("a", True, ["a"])
        assert await kage("mirror", "create", "db", "b") == 1
        assert "the copy of a counts already" in capsys.readouterr().err

        assert await kage("mirror", "status") == 0
        assert "  b: 25 % copied, 3.0 KiB left\n" in capsys.readouterr().out
        assert await kage("mirror", "pause", "db", "b") == 0
        assert await kage("mirror", "resume", "db", "b") == 1
        assert "kage: refused: it can't do that" in capsys.readouterr().err
        assert pretended.asked[1:] == [("pause", {"node": "b"}), ("resume", {"node": "b"})]

        pretended.say("b")  # as after a failure of this node's own disk
        await until(lambda: told(agent, "replicas-changed"))
        assert await kage("mirror", "force", "db", "a", "--lose-writes-of", "b") == 1
        assert "a runs it; first: kage out-of-service app" in capsys.readouterr().err
        assert await kage("out-of-service", "app") == 0
        assert (await kage.mirror()).remarks[0].endswith("kage mirror force db a")
        pretended.say("a")
        assert await kage("mirror", "force", "db", "a", "--lose-writes-of", "b") == 0
        assert "what only b has is lost" in capsys.readouterr().out
        assert (await kage.mirror()).in_sync == ["a"]


@on_loop
async def test_the_other_node_is_asked_through_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pretended(monkeypatch)
    here, there = tmp_path / "a", tmp_path / "b"
    for home in (here, there):
        home.mkdir()
    agent, kage = make_agent(here), Kage(here / "agent.sock")
    peer = Agent(PEER, agent.config, Keyring([KEY]), there / "state", there / "run", "0.1.0")
    async with serving(agent, here / "agent.sock"):
        async with running(peer):
            await until(lambda: told(agent, "peer-alive") and told(peer, "peer-alive"))
            on = (await kage.mirror()).nodes["b"]
            assert (on.standing, on.trouble) == ("alive", "")
            assert on.details is not None
            assert (on.details.role, on.details.disk.path) == ("target", "/dev/vdb")
        await until(lambda: told(agent, "peer-left"))
        mirror = await kage.mirror()
        assert (mirror.nodes["b"].details, mirror.nodes["b"].trouble) == (None, "b is left")
        assert mirror.nodes["a"].details is not None


@on_loop
async def test_the_figures_of_a_real_agent_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Pretended(monkeypatch)
    socket_path = tmp_path / "agent.sock"
    agent, kage = make_agent(tmp_path), Kage(socket_path)
    async with serving(agent, socket_path):
        assert await kage("mirror", "create", "db", "a") == 0
        capsys.readouterr()
        assert await kage("metrics") == 0
        families = read(capsys.readouterr().out)
    assert families["kagemusha_hierarchy_in_service"].value(hierarchy="app") == 1
    assert families["kagemusha_mirror_in_sync"].value(**LABELS, node="a") == 1
    assert families["kagemusha_mirror_in_sync"].value(**LABELS, node="b") == 0
    assert families["kagemusha_mirror_leg_copied_ratio"].value(**LABELS, target="b") == 0.25
    assert families["kagemusha_peer_standing"].value(peer="b", standing="never-heard") == 1
    assert families["kagemusha_heartbeats_sent_total"].value() > 0
