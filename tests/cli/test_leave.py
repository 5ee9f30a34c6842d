"""`kage leave`: said once, then watched until the machine may stop."""

from __future__ import annotations

import json

import pytest

from agent.cli import leave
from tests.api.fake_agent import FakeAgent, hierarchy, resources, status
from tests.cli.conftest import Kage

HERE = hierarchy("db-01")
STOPPING = hierarchy("db-01", ("stopping", "stopped"))
FREE = hierarchy(None, ("stopped", "stopped"), tree=resources("OSU", "OSU"))
STARTING = hierarchy("db-02", ("stopped", "starting"), tree=resources("OSU", "OSU"))
THERE = hierarchy("db-02", ("stopped", "running"), tree=resources("OSU", "ISP"))
WAITING = hierarchy("db-01", ("stopped", "stopped"), tree=resources("OSU", "OSU"))  # on_shutdown = "stop"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often and give up at once."""
    monkeypatch.setattr(leave, "POLL_S", 0.001)
    monkeypatch.setattr(leave, "HOPELESS_AFTER_S", 0.0)


def shows(agent: FakeAgent, *views: object) -> None:
    agent.then = [status(view) for view in views]  # type: ignore[arg-type]


def test_it_waits_until_another_node_runs_what_ran_here(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    shows(agent, HERE, STOPPING, STARTING, THERE)
    assert kage("leave") == 0
    assert agent.departed
    assert "groupware is in service on db-02, after" in capsys.readouterr().out


def test_what_stays_with_this_node_is_waited_for_until_it_is_stopped(agent: FakeAgent, kage: Kage) -> None:
    shows(agent, HERE, STOPPING, WAITING)
    assert kage("leave") == 0
    assert len(agent.then) == 1


def test_what_nobody_takes_is_left_stopped(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    shows(agent, HERE, STOPPING, FREE)
    assert kage("leave") == 0
    assert "not in service" in capsys.readouterr().out


def test_what_another_node_runs_badly_is_not_this_nodes_to_wait_for(agent: FakeAgent, kage: Kage) -> None:
    shows(agent, STARTING)
    assert kage("leave") == 0


def test_it_ends_in_time_and_says_what_is_still_in_progress(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    shows(agent, HERE, STOPPING)
    assert kage("leave", "--timeout", "50ms") == 4
    assert "not left in time: groupware" in capsys.readouterr().err


def test_the_report_says_whether_it_was_reached(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    shows(agent, HERE, THERE)
    assert kage("leave", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["reached"] is True
