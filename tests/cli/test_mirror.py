"""`kage mirror` and `kage metrics`: what they show, and what they ask of the source."""

from __future__ import annotations

import json

import pytest
from msgspec import structs

from agent.api.mirror_remarks import remarks
from agent.api.mirrors import MirrorOnNode, MirrorReport, read_details
from agent.api.reports import AnswerReport, StatusReport
from agent.cli.mirror_view import mirrors_page
from agent.cli.sizes import parse_rate, show_bytes, show_seconds
from agent.core.messages import AskKit
from tests.api.fake_agent import FakeAgent
from tests.api.mirrored import COPYING, IN_SYNC, TAG, lost, mirrored, source, target, told
from tests.cli.conftest import Kage
from tests.cli.golden_text import hold_against

BOTH, ALONE = mirrored("db-01", "db-02"), mirrored("db-01")
UNBORN = mirrored(owner=None, phases=("stopped", "stopped"))
BEHIND = mirrored("db-02", owner="db-02", phases=("stopped", "unknown"), other=lost())
CREATING = told(job={"verb": "create", "state": "running", "percent": 12.0})


def report(seen: StatusReport, **told_by: AnswerReport) -> MirrorReport:
    """The mirror as all nodes see it."""
    (view,) = seen.hierarchies
    nodes = dict[str, MirrorOnNode]()
    for node in seen.nodes:
        answer = told_by.get(node.name.replace("-", "_"))
        nodes[node.name] = MirrorOnNode(
            standing=node.standing,
            in_sync=node.name in view.in_sync,
            details=read_details(answer.text) if answer else None,
            trouble="" if answer else f"{node.name} is lost",
        )
    running = view.owner is not None and view.nodes[view.owner].phase == "running"
    bare = MirrorReport(
        tag=TAG,
        kit="mirror",
        hierarchy="groupware",
        owner=view.owner,
        in_service=running,
        in_sync=view.in_sync,
        nodes=nodes,
    )
    return structs.replace(bare, remarks=list(remarks(bare)))


VERIFIED = {"verb": "verify", "state": "done", "text": "no difference"}


@pytest.mark.parametrize(
    ("name", "mirrors"),
    [
        (
            "mirror-in-sync",
            [report(BOTH, db_01=source(**IN_SYNC), db_02=told(role="target", disk={"state": "ok"}))],
        ),
        ("mirror-copying", [report(ALONE, db_01=source(**COPYING), db_02=target())]),
        (
            "mirror-alone",
            [report(mirrored("db-01", other=lost()), db_01=source(state="unreachable", lag_s=4_000.0))],
        ),
        ("mirror-behind", [report(BEHIND, db_01=target())]),
        (
            "mirror-stalled",
            [
                report(
                    BOTH,
                    db_01=source(state="waiting", stalled_ms=1_800, why="it doesn't answer"),
                    db_02=target(),
                )
            ],
        ),
        (
            "mirror-several",
            [
                report(UNBORN, db_01=CREATING, db_02=target(state="blank")),
                report(BOTH, db_01=told(role="source", job=VERIFIED, resync_limit_bytes_per_s=1 << 24)),
            ],
        ),
        ("mirror-none", []),
    ],
)
def test_mirrors_read_so(name: str, mirrors: list[MirrorReport]) -> None:
    hold_against(name, lambda _terminal: mirrors_page(mirrors))


def test_status_is_of_all_or_of_one(agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]) -> None:
    agent.then, agent.details = [ALONE], {"db-01": source(**COPYING), "db-02": target()}
    for argv in (("mirror", "status"), ("mirror", "status", TAG)):
        assert kage(*argv) == 0
        assert "43 % copied, 57.0 GiB left at 113 MiB/s, 9 min to go" in capsys.readouterr().out
    assert kage("mirror", "status", "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert kage("mirror", "status", TAG, "--json") == 0
    assert json.loads(capsys.readouterr().out) == listed
    assert listed["nodes"]["db-01"]["details"]["legs"][0]["percent"] == 43.2
    assert kage("mirror", "status", "fs-dir1") == 1
    assert capsys.readouterr().err == (f'kage: no mirror has the tag "fs-dir1"\n  hint: there is {TAG}\n')


def test_kage_status_points_to_it(agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]) -> None:
    agent.then = [ALONE]
    assert kage("status") == 0
    assert f"  {TAG} goes on without db-02: see kage mirror status\n" in capsys.readouterr().out
    agent.details = {"db-01": source(**COPYING), "db-02": target()}
    assert kage("status") == 0
    copying = f"  {TAG} on db-02: 43 % copied, 57.0 GiB left at 113 MiB/s, 9 min to go\n"
    assert copying in capsys.readouterr().out
    for seen in (BOTH, BEHIND):
        agent.then = [seen]
        assert kage("status") == 0
        assert "goes on without" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "verb", "arguments"),
    [
        (("pause", TAG, "db-02"), "pause", {"node": "db-02"}),
        (("resume", TAG, "db-02"), "resume", {"node": "db-02"}),
        (("resync", TAG, "db-02"), "resync", {"node": "db-02"}),
        (("full-resync", TAG, "db-02"), "full-resync", {"node": "db-02"}),
        (("verify", TAG), "verify", {}),
        (("grow", TAG), "grow", {}),
        (("throttle", TAG, "50MB"), "throttle", {"bytes_per_s": "50000000"}),
        (("throttle", TAG, "0"), "throttle", {"bytes_per_s": "0"}),
    ],
)
def test_what_is_asked_of_the_source(
    agent: FakeAgent,
    kage: Kage,
    capsys: pytest.CaptureFixture[str],
    argv: tuple[str, ...],
    verb: str,
    arguments: dict[str, str],
) -> None:
    agent.then, agent.answer = [BOTH], AnswerReport(accepted=True, text="as you wish")
    assert kage("mirror", *argv) == 0
    assert capsys.readouterr().out == "as you wish\n"
    (command,) = agent.commands
    assert isinstance(command, AskKit)
    assert (command.node, command.verb, dict(command.arguments)) == (None, verb, arguments)
    agent.answer = AnswerReport(accepted=False, text="db-02 isn't a target")
    assert kage("mirror", *argv) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"kage: refused: db-02 isn't a target\n  hint: `kage mirror status {TAG}` shows how things stand\n"
    )


def test_metrics_are_printed_as_they_are(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kage("metrics") == 0
    text = capsys.readouterr().out
    assert text.startswith("# HELP kagemusha_agent_info ")
    assert kage("metrics", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"text": text}


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("0", 0),
        ("50MB", 50_000_000),
        ("50 mb/s", 50_000_000),
        ("1.5GiB", 3 << 29),
        ("512k", 512_000),
        ("7", 7),
        ("2Ti", 2 << 40),
    ],
)
def test_rates_are_understood(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-1", "5i", "5 XB", "1e9", "٣MB", "50MBps", "9" * 13])
def test_what_is_no_rate_is_2(text: str, kage: Kage, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        kage("mirror", "throttle", TAG, "--", text)
    assert ended.value.code == 2
    assert "is not an amount such as 50MB, 1.5GiB or 0" in capsys.readouterr().err


def test_amounts_are_short() -> None:
    shown = [show_bytes(each) for each in (0, 999, 1_000, 5 << 20, 300 << 20, 57 << 30, 5 << 50)]
    assert shown == ["0 B", "999 B", "1.0 KiB", "5.0 MiB", "300 MiB", "57.0 GiB", "5120 TiB"]
    assert [show_seconds(each) for each in (0.84, 62, 518, 90_000)] == ["0.8 s", "62 s", "9 min", "25 h"]
