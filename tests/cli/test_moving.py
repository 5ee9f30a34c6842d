"""The verbs that change something: asked once, watched until it is so, or told why it won't be."""

from __future__ import annotations

import json
import re

import pytest
from msgspec import structs

from agent.api.reports import AnswerReport, HierarchyView, ResourceOnNode, WaitView
from agent.cli import waiting
from agent.cli.waiting import Goal, Look, in_service_on, out_of_service, recovered
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import BringInService, Confirm, Recover, TakeOutOfService
from tests.api.fake_agent import FakeAgent, hierarchy, resources, status
from tests.cli.conftest import Kage

GROUPWARE = HierarchyId("groupware")
OSF = {"cyde_5_0": ResourceOnNode(state="OSF", why="exited with 1")}
MENDING = {"cyde_5_0": ResourceOnNode(state="OSF", action="recover", why="exited with 1")}
HERE = hierarchy("db-01")
MOVING = hierarchy("db-01", ("stopping", "stopped"))
THERE = hierarchy("db-02", ("stopped", "running"), tree=resources("OSU", "ISP"))
HELD = hierarchy(None, ("stopped", "stopped"), held=True, tree=resources("OSU", "OSU"))
NOWHERE = hierarchy(
    None, ("stopped", "stopped"), why_not=("cyde_5_0 failed", "in maintenance"), tree=resources(OSF, "OSU")
)
BROKEN = hierarchy(phases=("starting", "stopped"), tree=resources(OSF))  # and nowhere to go
LOST = hierarchy("db-01", ("unknown", "stopped"), why_not=("it is lost", ""))
FENCING = hierarchy(
    "db-01",
    ("unknown", "stopped"),
    why_not=("it is lost", ""),
    waits=(None, WaitView(reason="fencing", lost=["db-01"])),
)
STUCK = hierarchy("db-01", ("stuck", "stopped"))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often and give up at once, so that tests of failures don't take seconds."""
    monkeypatch.setattr(waiting, "POLL_S", 0.001)
    monkeypatch.setattr(waiting, "HOPELESS_AFTER_S", 0.0)


@pytest.mark.parametrize(
    ("goal", "view", "look"),
    [
        (in_service_on("db-02"), THERE, Look(reached=True)),
        (in_service_on("db-02"), HERE, Look()),
        (in_service_on("db-02"), MOVING, Look()),
        (
            in_service_on("db-02"),
            hierarchy(why_not=("", "cyde_5_0 failed")),
            Look(hopeless="db-02 can't run it: cyde_5_0 failed"),
        ),
        (in_service_on(None), HERE, Look(reached=True)),
        (in_service_on(None), THERE, Look(reached=True)),
        (in_service_on(None), HELD, Look()),
        (in_service_on(None), BROKEN, Look(hopeless="cyde_5_0 failed on db-01: exited with 1")),
        (in_service_on(None), hierarchy(phases=("starting", "stopped"), tree=resources(MENDING)), Look()),
        (
            in_service_on(None),
            NOWHERE,
            Look(hopeless="db-01 can't run it: cyde_5_0 failed; db-02 can't run it: in maintenance"),
        ),
        (
            in_service_on("db-02"),
            STUCK,
            Look(hopeless="remove failed in every way on db-01, which fences itself"),
        ),
        (out_of_service, HELD, Look(reached=True)),
        (out_of_service, hierarchy(None, ("stopped", "unknown"), held=True), Look(reached=True)),
        (out_of_service, hierarchy(None, ("stopping", "stopped"), held=True), Look()),
        (out_of_service, HERE, Look()),
        (out_of_service, STUCK, Look(hopeless="remove failed in every way on db-01, which fences itself")),
        (recovered("cyde_5_0"), HERE, Look(reached=True)),
        (recovered("cyde_5_0"), THERE, Look(reached=True)),
        (recovered("cyde_5_0"), HELD, Look(reached=True)),
        (recovered("cyde_5_0"), hierarchy(tree=resources(MENDING)), Look()),
        (
            recovered("cyde_5_0"),
            hierarchy(tree=resources(OSF)),
            Look(hopeless="cyde_5_0 failed on db-01: exited with 1"),
        ),
        (
            recovered("cyde_5_0"),
            NOWHERE,
            Look(hopeless="db-01 can't run it: cyde_5_0 failed; db-02 can't run it: in maintenance"),
        ),
    ],
)
def test_a_look_tells_reached_from_hopeless(goal: Goal, view: HierarchyView, look: Look) -> None:
    assert goal(view) == look


@pytest.mark.parametrize(
    ("argv", "then", "command", "said"),
    [
        (
            ("in-service", "groupware", "--node", "db-02"),
            (HERE, MOVING, THERE),
            BringInService(hierarchy=GROUPWARE, node=NodeId("db-02")),
            "groupware is in service on db-02",
        ),
        (
            ("in-service", "ip-vip"),
            (HELD, HELD, HERE),
            BringInService(hierarchy=GROUPWARE),
            "groupware is in service on db-01",
        ),
        (
            ("out-of-service", "groupware"),
            (HERE, MOVING, HELD),
            TakeOutOfService(hierarchy=GROUPWARE),
            "groupware is held out of service by an operator",
        ),
        (
            ("recover", "cyde_5_0"),
            (hierarchy(tree=resources(OSF)), hierarchy(tree=resources(MENDING)), HERE),
            Recover(hierarchy=GROUPWARE, tag=Tag("cyde_5_0")),
            "groupware is in service on db-01",
        ),
        (
            ("confirm", "groupware", "yes"),
            (LOST, FENCING, THERE),
            Confirm(hierarchy=GROUPWARE, take=True),
            "groupware is in service on db-02",
        ),
    ],
)
def test_it_waits_until_it_is_so(
    agent: FakeAgent,
    kage: Kage,
    capsys: pytest.CaptureFixture[str],
    argv: tuple[str, ...],
    then: tuple[HierarchyView, ...],
    command: object,
    said: str,
) -> None:
    agent.then = [status(view) for view in then]
    assert kage(*argv) == 0
    assert agent.commands == [command]
    assert re.fullmatch(r"begun\n" + re.escape(said) + r", after \d+\.\d s\n", capsys.readouterr().out)


def test_without_waiting_it_says_what_has_begun(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kage("in-service", "groupware", "--node", "db-02", "--no-wait") == 0
    assert kage("in-service", "groupware", "--node", "db-02", "--no-wait", "--json") == 0
    text, _, report = capsys.readouterr().out.partition("\n")
    assert text == "begun"
    assert json.loads(report) == {"accepted": True, "reached": None, "text": "begun", "took_ms": 0}


def test_after_a_no_there_is_nothing_to_wait_for(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.then = [status(LOST)]
    assert kage("confirm", "ip-vip", "no") == 0
    assert kage("confirm", "groupware", "no", "--json") == 0
    assert agent.commands == [Confirm(hierarchy=GROUPWARE, take=False)] * 2
    text, _, report = capsys.readouterr().out.partition("\n")
    assert text == "begun"
    assert json.loads(report)["reached"] is None
    agent.answer = AnswerReport(accepted=False, text="no node asks whether to take groupware over")
    assert kage("confirm", "groupware", "no") == 1
    assert "refused: no node asks" in capsys.readouterr().err


def test_out_of_time_it_says_what_is_waited_for(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.then = [status(FENCING)]
    assert kage("confirm", "groupware", "yes", "--timeout", "20ms") == 4
    assert "not reached in time: db-02 waits for the fencing of db-01" in capsys.readouterr().err


def test_a_refusal_is_1_and_not_waited_for(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.answer = AnswerReport(accepted=False, text="db-02 is lost")
    assert kage("in-service", "groupware", "--node", "db-02") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "kage: refused: db-02 is lost\n  hint: `kage status` shows how things stand\n"


def test_an_unknown_name_is_1_and_a_hint(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kage("recover", "cyde_6") == 1
    assert capsys.readouterr().err == (
        'kage: no resource has the tag "cyde_6"\n  hint: `kage status` shows the tags\n'
    )
    assert not agent.commands


@pytest.mark.usefixtures("impatient")
def test_a_failure_is_told_without_waiting_for_the_end(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.then = [status(MOVING), status(hierarchy(why_not=("", "cyde_5_0 failed: exited with 1")))]
    assert kage("in-service", "groupware", "--node", "db-02", "--timeout", "10min") == 1
    assert capsys.readouterr().err.startswith(
        "kage: db-02 can't run it: cyde_5_0 failed: exited with 1\n  hint:"
    )


def test_running_out_of_time_is_4(agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]) -> None:
    agent.then = [status(MOVING)]
    assert kage("in-service", "groupware", "--node", "db-02", "--timeout", "50ms", "--json") == 4
    report = json.loads(capsys.readouterr().out)
    assert report.pop("took_ms") >= 50
    assert report == {
        "accepted": True,
        "reached": False,
        "text": "not reached in time: groupware is stopping on db-01",
    }


def test_a_hierarchy_that_is_no_longer_configured_ends_the_wait(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:

    agent.then = [status(MOVING), structs.replace(status(), hierarchies=[])]
    assert kage("out-of-service", "groupware") == 1
    assert "groupware is no longer configured" in capsys.readouterr().err
