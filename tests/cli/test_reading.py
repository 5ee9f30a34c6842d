"""The verbs that show: text for people, `--json` the very report, errors with what to do next."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from agent.api.reports import AnswerReport, TimelineReport, TimelineStep
from agent.cli.events import events_page
from agent.cli.timeline import timelines_page
from tests.api.fake_agent import FakeAgent, event
from tests.cli.conftest import Kage
from tests.cli.golden_text import drawn, hold_against

FAILOVER = TimelineReport(
    hierarchy="groupware",
    node="db-02",
    cause="failover",
    why="db-01 was silent on every comm path for 2000 ms",
    start_time=1_795_000_000.0,
    total_ms=2_250,
    complete=True,
    steps=[
        TimelineStep(name="silence", start_ms=0, length_ms=2_000),
        TimelineStep(name="ownership", start_ms=2_000, length_ms=104),
        TimelineStep(name="restore fs-dir1", start_ms=2_104, length_ms=30),
        TimelineStep(name="restore cyde_5_0", start_ms=2_134, length_ms=80),
        TimelineStep(name="restore cyss_cbgrn", start_ms=2_214, length_ms=20),
        TimelineStep(name="restore route-vip", start_ms=2_234, length_ms=16),
        TimelineStep(name="restore ip-vip", start_ms=2_250, length_ms=0),
    ],
)
FAILED = TimelineReport(
    hierarchy="groupware",
    node="db-01",
    cause="start",
    why="",
    start_time=1_795_000_100.0,
    total_ms=300_000,
    complete=False,
    steps=[TimelineStep(name="restore fs-dir1", start_ms=0, length_ms=300_000, outcome="timed-out")],
)


def test_timelines_read_so() -> None:
    hold_against(
        "timelines",
        lambda terminal: timelines_page([FAILOVER, FAILED], width=80, bar="█" if terminal else "#"),
    )


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("start_ms", [0, 10**9])
def test_bars_fit_whatever_was_measured(width: int, start_ms: int) -> None:
    steps = [TimelineStep(name="n" * 60, start_ms=start_ms, length_ms=10**9, outcome="cancelled")]
    odd = TimelineReport(
        hierarchy="h",
        node="n",
        cause="start",
        why="",
        start_time=0.0,
        total_ms=0,
        complete=False,
        steps=steps,
    )
    text = drawn(timelines_page([odd], width=width, bar="█"), terminal=True, width=width)
    assert max(map(len, text.splitlines())) <= width
    assert "█" in text


def test_no_timeline_is_said(agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]) -> None:
    assert kage("timeline") == 0
    assert capsys.readouterr().out == "nothing has failed over or moved yet\n"


def test_the_last_timelines_are_asked_for(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.timelines_kept = [FAILED, FAILOVER]
    assert kage("timeline", "--last", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out) == msgspec.to_builtins([FAILED, FAILOVER])
    assert agent.asked == [("timelines", 2, 0)]


def test_events_read_so() -> None:
    events = [
        event(1),
        event(2, "warning", "eni-1 to db-02 is down"),
        event(3, "alarm", "db-02 is lost " * 6),
    ]
    hold_against("events", lambda _terminal: events_page(events))


@pytest.mark.parametrize("verb", [("status",), ("nodes",), ("events", "--limit", "2"), ("config", "show")])
def test_json_is_the_report(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str], verb: tuple[str, ...]
) -> None:
    agent.events_kept = [event(1), event(2), event(3)]
    reports = {
        "status": agent.status(),
        "nodes": agent.status().nodes,
        "events": agent.events_kept[1:],
        "config": agent.config(),
    }
    assert kage(*verb, "--json") == 0
    assert json.loads(capsys.readouterr().out) == msgspec.to_builtins(reports[verb[0]])


def test_piped_status_has_neither_colour_nor_boxes(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kage("status") == 0
    text = capsys.readouterr().out
    assert "groupware  in service on db-01" in text
    assert text.isascii()
    assert "\x1b" not in text


def test_options_are_taken_before_and_after_the_verb(
    agent: FakeAgent, socket_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from agent.cli.main import main

    for argv in (
        ["--json", "--socket", str(socket_path), "status"],
        ["status", "--json", "--socket", str(socket_path)],
        ["--socket", "/nowhere", "status", "--json", "--socket", str(socket_path)],
    ):
        assert main(argv) == 0
        assert json.loads(capsys.readouterr().out)["cluster"] == "garoon"
    monkeypatch.setenv("KAGE_SOCKET", str(socket_path))
    assert main(["status"]) == 0


def test_the_configuration_is_shown_as_toml(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kage("config", "show") == 0
    assert capsys.readouterr().out == (
        "# /etc/kagemusha/cluster.toml, digest 0123456789ab, loaded 2026-11-18 11:06:40\n"
        '# note: quorum is "none"\n'
        '[cluster]\nname = "garoon"\n'
    )


def test_a_refused_reload_says_what_is_wrong(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kage("config", "reload") == 0
    assert capsys.readouterr().out == "begun\n"
    agent.answer = AnswerReport(accepted=False, text="cluster.toml:3: cluster.name: missing")
    assert kage("config", "reload") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "kage: cluster.toml:3: cluster.name: missing\n  hint: the configuration before it stays in force\n"
    )


def test_config_path_follows_option_and_environment(
    kage: Kage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kage("config", "path")
    monkeypatch.setenv("KAGE_CONFIG", "/srv/a.toml")
    kage("config", "path")
    kage("config", "path", "--config", "/srv/b.toml", "--json")
    assert capsys.readouterr().out == (
        '/etc/kagemusha/cluster.toml\n/srv/a.toml\n{\n  "source": "/srv/b.toml"\n}\n'
    )


@pytest.mark.parametrize(
    "verb",
    [("status",), ("status", "--json"), ("events",), ("in-service", "groupware"), ("config", "reload")],
)
def test_without_an_agent_it_is_3_and_a_hint(
    kage: Kage, socket_path: Path, capsys: pytest.CaptureFixture[str], verb: tuple[str, ...]
) -> None:
    assert kage(*verb) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"kage: no agent answers at {socket_path}\n  hint: systemctl start kagemusha\n"


def test_watching_needs_a_terminal(agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]) -> None:
    assert kage("status", "--watch") == 2
    assert "draws on a terminal" in capsys.readouterr().err
