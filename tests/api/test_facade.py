"""The cluster as its agents show it: real ones, on loopback."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.api.facade import Facade
from agent.api.reports import NodeView, StatusReport, WaitView
from agent.core.events import PersistFailed
from agent.core.messages import TakeOutOfService
from agent.runtime.clock import boottime_ms
from agent.runtime.reload import Reloader
from tests.runtime.inside import NAME, make_agent, running, told
from tests.runtime.loopback import AgentProcess, Loopback, loopback
from tests.runtime.waiting import on_loop, until, wait_until

LO2 = """
[comm_path.lo2]
priority = 2
port = {port}
a = "127.91.2.1"
b = "127.91.2.2"
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Loopback]:
    with loopback(tmp_path) as made:
        yield made


def status(agent: AgentProcess) -> StatusReport:
    wait_until(agent.status)
    report = agent.status()
    assert report is not None
    return report


def node(agent: AgentProcess, name: str) -> NodeView:
    return next(each for each in status(agent).nodes if each.name == name)


def is_eligible(agent: AgentProcess, name: str) -> bool:
    return status(agent).hierarchies[0].nodes[name].eligible


def is_refused(agent: AgentProcess, name: str) -> bool:
    return not is_eligible(agent, name)


def warns(agent: AgentProcess, of: str) -> bool:
    return any(of in each for each in status(agent).warnings)


def standing(agent: AgentProcess, name: str) -> str:
    return node(agent, name).standing


def test_a_healthy_pair(cluster: Loopback) -> None:
    a, b = cluster.start_both()
    wait_until(lambda: all(path.rtt_ms is not None for path in node(a, "b").paths))
    report = status(a)
    assert (report.cluster, report.node, report.quorum) == ("loopback", "a", "none")
    assert report.config_digest == a.api.config().digest
    myself, peer = report.nodes
    assert (myself.name, myself.standing, myself.comm, myself.paths) == ("a", "self", "up", [])
    assert (peer.name, peer.standing, peer.comm) == ("b", "alive", "up")
    assert (peer.config_digest, peer.version) == (report.config_digest, report.version)
    assert [(path.name, path.priority, path.state, path.local, path.remote) for path in peer.paths] == [
        ("lo1", 1, "up", "127.91.1.1", "127.91.1.2"),
        ("lo2", 2, "up", "127.91.2.1", "127.91.2.2"),
    ]
    assert report.counters.heartbeats_sent > 0
    assert report.counters.heartbeats_heard > 0
    assert not warns(a, "another configuration")

    (app,) = report.hierarchies
    assert (app.name, app.owner, app.term, app.held, app.switchback) == ("app", "a", 1, False, "intelligent")
    assert [each.tag for each in app.resources] == ["web", "db"], "parents first"
    assert [each.depends_on for each in app.resources] == [["db"], []]
    assert {name: (each.priority, each.phase) for name, each in app.nodes.items()} == {
        "a": (1, "running"),
        "b": (2, "stopped"),
    }
    assert all(each.eligible and not each.why_not for each in app.nodes.values())
    wait_until(lambda: status(b).hierarchies == status(a).hierarchies)


def test_an_action_in_progress_and_a_failure_are_shown_on_both_sides(cluster: Loopback) -> None:
    hanging, failing = cluster.home / "a.web.restore.hangs", cluster.home / "b.web.restore.fails"
    hanging.touch()
    failing.touch()
    a, b = cluster.start("a"), cluster.start("b")

    def is_restored(agent: AgentProcess) -> bool:
        app = agent.app()
        web_on_a = app.resources[0].nodes["a"] if app else None
        return web_on_a is not None and (web_on_a.state, web_on_a.action) == ("OSU", "restore")

    for agent in (a, b):
        wait_until(partial(is_restored, agent))
        assert status(agent).hierarchies[0].nodes["a"].phase == "starting"
    hanging.unlink()
    wait_until(partial(a.sees, "a", "ISP", "ISP"))
    wait_until(partial(is_eligible, a, "b"))
    assert a.api.bring_in_service("app", "b").accepted
    wait_until(lambda: b.events("failover-begun"))
    wait_until(partial(a.sees, "a", "ISP", "ISP"))
    for agent in (a, b):
        wait_until(partial(is_refused, agent, "b"))
        on_b = status(agent).hierarchies[0].nodes["b"]
        assert on_b.why_not.startswith("web failed there: restore: ")


def test_a_peer_that_is_gone_is_dead_and_nothing_is_claimed_of_it(cluster: Loopback) -> None:
    a, b = cluster.start_both()
    b.kill()
    wait_until(lambda: standing(a, "b") == "lost")
    gone = node(a, "b")
    assert gone.comm == "dead"
    assert {path.state for path in gone.paths} == {"down"}
    assert node(a, "a").comm == "warning"
    app = status(a).hierarchies[0]
    on_b = app.nodes["b"]
    assert (on_b.phase, on_b.eligible, on_b.why_not) == ("unknown", False, "it is lost")
    assert {each.nodes["b"].state for each in app.resources} == {"unknown"}
    b = cluster.start("b")
    wait_until(lambda: standing(a, "b") == "alive")
    wait_until(partial(a.sees, "b", "OSU", "OSU"))
    assert b.end() == 0
    wait_until(lambda: standing(a, "b") == "left")
    assert status(a).hierarchies[0].nodes["b"].why_not == "its agent was stopped"


def test_a_peer_that_was_never_heard(cluster: Loopback) -> None:
    a = cluster.start("a")
    wait_until(a.status)
    assert (standing(a, "b"), node(a, "b").comm) == ("never-heard", "dead")
    assert node(a, "b").version == ""
    assert [path.rtt_ms for path in node(a, "b").paths] == [None, None]


def test_a_single_comm_path_is_a_warning_for_good(cluster: Loopback) -> None:
    cluster.configure({LO2.format(port=cluster.settings["port"]): ""})
    a, _ = cluster.start_both()
    assert (standing(a, "b"), node(a, "b").comm) == ("alive", "warning")
    assert [path.state for path in node(a, "b").paths] == ["up"]
    assert warns(a, "comm path")


def test_a_path_that_is_cut_is_a_warning(cluster: Loopback) -> None:
    """B listens elsewhere on lo2, so that path is dead from the start."""
    a = cluster.start("a")
    wait_until(a.status)
    text = (cluster.home / "cluster.toml").read_text()
    other = cluster.home / "other.toml"
    other.write_text(text.replace('"127.91.2.2"', '"127.91.2.9"'))
    b = cluster.start("b", "--config", str(other))
    wait_until(lambda: standing(a, "b") == "alive")
    wait_until(partial(a.sees, "a", "ISP", "ISP"))
    assert {path.name: path.state for path in node(a, "b").paths} == {"lo1": "up", "lo2": "down"}
    assert node(a, "b").comm == node(a, "a").comm == "warning"
    for agent, peer in ((a, "b"), (b, "a")):
        wait_until(partial(warns, agent, f"{peer} runs with another configuration ("))
    b.kill()
    wait_until(lambda: standing(a, "b") == "lost")
    assert not warns(a, "another configuration"), "it doesn't run"


def test_timelines_of_a_start_a_switchover_and_a_failover(cluster: Loopback) -> None:
    a, b = cluster.start_both()
    (start,) = a.api.timelines(9)
    assert (start.cause, start.node, start.complete) == ("start", "a", True)
    assert [each.name for each in start.steps] == ["ownership", "restore db", "restore web"]
    assert b.api.timelines(9) == []

    assert a.api.bring_in_service("app", "b").accepted
    wait_until(partial(b.sees, "b", "ISP", "ISP"))
    (switchover,) = b.api.timelines(9)
    assert (switchover.cause, switchover.node, switchover.complete) == ("switchover", "b", True)

    wait_until(partial(is_eligible, b, "a"))
    b.process.send_signal(signal.SIGKILL)
    wait_until(partial(a.sees, "a", "ISP", "ISP"))
    failover, *_ = a.api.timelines(9)
    assert (failover.cause, failover.node, failover.complete) == ("failover", "a", True)
    assert [each.name for each in failover.steps] == [
        "silence of b",
        "ownership",
        "restore db",
        "restore web",
    ]
    assert failover.steps[0].length_ms >= 2_000, "dead_after"
    for report in (start, switchover, failover):
        assert all(each.outcome == "ok" for each in report.steps)
        # One after the other: only the steps between them, a millisecond or two, are nobody's.
        at = 0
        for each in report.steps:
            assert at <= each.start_ms
            at = each.start_ms + each.length_ms
        assert at <= report.total_ms
        assert report.total_ms - sum(each.length_ms for each in report.steps) <= 20 * len(report.steps)


CONFIRM = """
[hierarchy.app]
confirm_failover = { within = "1h", default = "no" }
"""


def test_an_operator_is_asked_and_answers_on_any_node(cluster: Loopback) -> None:
    cluster.configure({"\n[hierarchy.app]\n": CONFIRM})
    a, b = cluster.start_both()
    a.kill()

    def waits() -> WaitView | None:
        return status(b).hierarchies[0].nodes["b"].waits

    wait_until(waits)
    asked = waits()
    assert asked is not None
    assert (asked.reason, asked.lost, asked.answered, asked.default) == ("confirming", ["a"], None, False)
    assert b.api.confirm("web", take=False).text == "b leaves app to a"
    wait_until(lambda: (wait := waits()) is not None and wait.answered is False)
    assert b.api.confirm("app", take=True).text == "b takes app over from a"
    wait_until(partial(b.sees, "b", "ISP", "ISP"))
    assert waits() is None
    assert not b.api.confirm("app", take=True).accepted, "nobody asks any more"
    failover, *_ = b.api.timelines(9)
    names = [each.name for each in failover.steps]
    assert names == ["silence of a", "confirmation", "ownership", "restore db", "restore web"]


def test_an_owner_whose_agent_was_stopped_is_told_from_one_that_is_lost(cluster: Loopback) -> None:
    a, b = cluster.start_both()
    assert not status(b).hierarchies[0].unattended
    assert a.end() == 0
    wait_until(lambda: status(b).hierarchies[0].unattended)
    assert status(b).hierarchies[0].owner == "a"


@on_loop
async def test_what_the_agent_has_is_what_is_shown(tmp_path: Path) -> None:
    agent = make_agent(tmp_path)
    facade = Facade(agent, Reloader(agent))
    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        config = facade.config()
        assert config.text == (tmp_path / "cluster.toml").read_text()
        assert (config.source, config.digest) == (str(tmp_path / "cluster.toml"), agent.config.digest)
        events = await facade.events(2, 0)
        assert [each.id for each in events] == [each.id for each in agent.notices.newest(2)]
        assert events[-1].kind == "in-service"
        sought = next(each for each in await facade.events(99, 0) if each.kind == "ownership-sought")
        assert (sought.node, sought.hierarchy, sought.reason) == ("a", "app", "first-start")
        assert (await facade.reload_config()).accepted
        answer = await facade.command(TakeOutOfService(hierarchy=NAME))
        assert answer.accepted
        await until(lambda: facade.status().hierarchies[0].held)

        assert agent.node is not None
        newest = agent.node.state.ownership.serial
        agent.feed(PersistFailed(boottime_ms(), newest, "disk full"))
        assert "the store can't be written: disk full" in facade.status().warnings
