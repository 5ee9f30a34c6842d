"""All destinations together: none holds up another or the agent, and a reload changes only what changed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agent.config.model import Config
from agent.core.effects import Kind, Severity
from agent.notify.cloudwatch import Figures
from agent.notify.notifier import Notifier
from agent.runtime.agent import Agent
from agent.runtime.figures import figures
from agent.runtime.noticelog import NoticeLog
from agent.runtime.reload import Reloader
from tests.notify.messages import ME, notice
from tests.notify.servers import odd_server, web_server
from tests.runtime.inside import make_agent, read_config, running, told, write_config
from tests.runtime.waiting import on_loop, until

SCRIPT = """
[notify.{name}]
kind = "script"
severity = "info"
command = ["{home}/{name}"]
limit = "{limit}"
"""
HOOK = """
[notify.{name}]
kind = "webhook"
url = "http://127.0.0.1:{port}/"
limit = "{limit}"
"""


def script(home: Path, name: str, text: str = "", *, limit: str = "10s") -> str:
    """The table of a script that appends what it is given to NAME.got, or does something else."""
    path = home / name
    path.write_text(f"#!/bin/sh\n{text or f'cat >> {home}/{name}.got'}\n")
    path.chmod(0o755)
    return SCRIPT.format(name=name, home=home, limit=limit)


def got(home: Path, name: str) -> list[str]:
    """The texts that a script was given, in order."""
    path = home / f"{name}.got"
    return [json.loads(line)["text"] for line in path.read_text().splitlines()] if path.exists() else []


@asynccontextmanager
async def notifying(home: Path, config: Config) -> AsyncIterator[tuple[Notifier, NoticeLog]]:
    log = NoticeLog(home / "events.jsonl", ME)
    await log.load()

    def tell(kind: Kind, severity: Severity, text: str) -> None:
        log.add(notice(text, kind=kind, severity=severity))

    notifier = Notifier(ME, config, log, home / "notify", lambda: Figures(1, {}), tell)
    log.on_add = notifier.wake
    task = asyncio.create_task(notifier.run())
    try:
        await asyncio.sleep(0)
        yield notifier, log
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await log.flush()


@on_loop
async def test_slow_and_dead_destinations_hold_up_nobody_else(tmp_path: Path) -> None:
    def silence(connection: object) -> None:
        time.sleep(0.3)

    with odd_server(silence) as port, web_server() as gone:
        pass
    with odd_server(silence) as port:
        more = (
            script(tmp_path, "good")
            + script(tmp_path, "hangs", "sleep 600", limit="5min")
            + HOOK.format(name="slow", port=port, limit="10s")
            + HOOK.format(name="dead", port=gone.port, limit="10s")
        )
        config = read_config(write_config(tmp_path, more=more))
        async with notifying(tmp_path, config) as (_, log):
            for number in range(20):
                log.add(notice(str(number)))
            await until(lambda: len(got(tmp_path, "good")) == 20)
    assert got(tmp_path, "good") == [str(number) for number in range(20)]


@on_loop
async def test_a_reload_adds_changes_and_removes_and_leaves_the_rest_alone(tmp_path: Path) -> None:
    stays, goes = script(tmp_path, "stays"), script(tmp_path, "goes")
    path = write_config(tmp_path, more=stays + goes)
    async with notifying(tmp_path, read_config(path)) as (notifier, log):
        log.add(notice("1"))
        await until(lambda: got(tmp_path, "stays") and got(tmp_path, "goes"))
        await until((tmp_path / "notify" / "goes.position").exists)
        undisturbed = notifier._at["stays"].task
        write_config(tmp_path, more=stays + script(tmp_path, "comes"))
        notifier.use(read_config(path))
        await until(lambda: not (tmp_path / "notify" / "goes.position").exists())
        await until((tmp_path / "notify" / "comes.position").exists)
        log.add(notice("2"))
        await until(lambda: got(tmp_path, "comes") == ["2"])
        await until(lambda: got(tmp_path, "stays") == ["1", "2"])
        assert notifier._at["stays"].task is undisturbed
        position = tmp_path / "notify" / "stays.position"
        await until(lambda: position.read_text() == "2\n")  # else "2" would be sent again
        write_config(tmp_path, more=stays.replace("info", "alarm"))
        notifier.use(read_config(path))
        log.add(notice("3"))
        await until(lambda: got(tmp_path, "stays") == ["1", "2", "3"])
        assert notifier._at["stays"].task is not undisturbed
    assert got(tmp_path, "goes") == ["1"]


@on_loop
async def test_a_destination_that_comes_back_begins_only_after_its_earlier_self_has_ended(
    tmp_path: Path,
) -> None:
    hangs = f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; sleep 600"
    path = write_config(tmp_path, more=script(tmp_path, "ops", hangs, limit="5min"))
    async with notifying(tmp_path, read_config(path)) as (notifier, log):
        log.add(notice("1"))
        await until((tmp_path / "pid").exists)
        for more in ("", script(tmp_path, "ops"), "", script(tmp_path, "ops")):
            write_config(tmp_path, more=more)
            notifier.use(read_config(path))
        await until(lambda: len(notifier._ending["ops"]) == 1)
        await until((tmp_path / "notify" / "ops.position").exists)
        log.add(notice("2"))
        await until(lambda: "2" in got(tmp_path, "ops"))
    assert got(tmp_path, "ops") == ["2"], "it is a new one: it begins with what comes"


@on_loop
async def test_positions_of_destinations_that_are_no_more_are_deleted_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "notify").mkdir()
    for name in ("ops", "gone"):
        (tmp_path / "notify" / f"{name}.position").write_text("0\n")
    config = read_config(write_config(tmp_path, more=script(tmp_path, "ops")))
    async with notifying(tmp_path, config):
        await until(lambda: not (tmp_path / "notify" / "gone.position").exists())
        assert (tmp_path / "notify" / "ops.position").exists()


@on_loop
async def test_an_outage_and_a_restart_in_the_middle_lose_nothing_and_keep_the_order(tmp_path: Path) -> None:
    def numbers(posts: list[bytes]) -> list[int]:
        return [int(json.loads(body)["text"]) for body in posts]

    with web_server() as web:
        config = read_config(write_config(tmp_path, more=HOOK.format(name="hook", port=web.port, limit="5s")))
        async with notifying(tmp_path, config) as (_, log):
            for number in range(5):
                log.add(notice(str(number)))
            await until(lambda: len(web.posts) == 5)
            web.status = 503
            for number in range(5, 10):
                log.add(notice(str(number)))
            await until(lambda: len(web.posts) > 5)
        refused = len(web.posts)
        web.status = 200
        async with notifying(tmp_path, config) as (_, log):
            log.add(notice("10"))
            await until(lambda: len(web.posts) >= refused + 6)
    taken = [each.body for each in (*web.posts[:5], *web.posts[refused:])]
    assert numbers(taken) == list(range(11))
    assert set(numbers([each.body for each in web.posts[5:refused]])) == {5}, "nothing overtook it"


@on_loop
async def test_a_running_agent_tells_and_reloads_without_a_restart(tmp_path: Path) -> None:
    ops, more = script(tmp_path, "ops"), script(tmp_path, "more")
    agent: Agent = make_agent(tmp_path, read_config(write_config(tmp_path, more=ops)))
    async with running(agent):
        await until(lambda: "in service here" in got(tmp_path, "ops"))
        assert figures(agent.node) == Figures(nodes_alive=1, in_service={"app": True})
        write_config(tmp_path, more=ops + more, port=agent.config.paths[0].port)
        assert (await Reloader(agent).reload()).accepted
        await until((tmp_path / "state" / "notify" / "more.position").exists)
        agent.tell(Kind.PAUSED, Severity.WARNING, "a test")
        await until(lambda: "a test" in got(tmp_path, "more") and "a test" in got(tmp_path, "ops"))
        assert [each.notice.text for each in told(agent, "paused")] == ["a test"]
    lines = [json.loads(line) for line in (tmp_path / "ops.got").read_text().splitlines()]
    assert [each["id"] for each in lines] == sorted(each["id"] for each in lines)
    assert {each["node"] for each in lines} == {"a"}


def test_a_node_that_has_not_begun_sees_itself() -> None:
    assert figures(None) == Figures(nodes_alive=1, in_service={})
