"""`kage mirror` and `kage metrics`: what they show, what they ask, and that nothing is lost unasked."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest

from agent.api.mirror_remarks import remarks
from agent.api.mirrors import MirrorOnNode, MirrorReport, read_details
from agent.api.reports import AnswerReport, StatusReport
from agent.cli import mirror_grave, waiting
from agent.cli.mirror_view import mirrors_page
from agent.cli.sizes import parse_rate, show_bytes, show_seconds
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import AskKit, TrustReplica
from tests.api.fake_agent import FakeAgent
from tests.api.mirrored import COPYING, IN_SYNC, TAG, lost, mirrored, source, target, told
from tests.cli.conftest import Kage
from tests.cli.golden_text import hold_against

BOTH, ALONE = mirrored("db-01", "db-02"), mirrored("db-01")
UNBORN = mirrored(owner=None, phases=("stopped", "stopped"))
BEHIND = mirrored("db-02", owner="db-02", phases=("stopped", "unknown"), other=lost())
CREATING = told(job={"verb": "create", "state": "running", "percent": 12.0})
FAILED = told(job={"verb": "create", "state": "failed", "text": "mkfs.xfs exited with 1"})
CREATED = told(job={"verb": "create", "state": "done"})
CREATE = AskKit(hierarchy=HierarchyId("groupware"), tag=Tag(TAG), node=NodeId("db-01"), verb="create")
BEGIN = TrustReplica(hierarchy=HierarchyId("groupware"), node=NodeId("db-01"), first=True)
FORCE = TrustReplica(hierarchy=HierarchyId("groupware"), node=NodeId("db-01"), first=False)
WIPE = AskKit(hierarchy=HierarchyId("groupware"), tag=Tag(TAG), node=NodeId("db-02"), verb="wipe")


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
    return dataclasses.replace(bare, remarks=list(remarks(bare)))


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


class Birth:
    """An agent whose kit on db-01 goes through `jobs`, and that serves the mirror once it is told to."""

    def __init__(self, agent: FakeAgent, monkeypatch: pytest.MonkeyPatch, *jobs: AnswerReport) -> None:
        self._agent, self._jobs = agent, list(jobs)
        monkeypatch.setattr(agent, "status", self._status)
        monkeypatch.setattr(agent, "_tell", self._tell)
        monkeypatch.setattr(mirror_grave, "POLL_S", 0.001)
        monkeypatch.setattr(waiting, "POLL_S", 0.001)

    def _status(self) -> StatusReport:
        return ALONE if BEGIN in self._agent.commands else UNBORN

    async def _tell(self, node: str) -> AnswerReport:
        if node != "db-01":
            return AnswerReport(accepted=False, text=f"{node} is lost")
        return self._jobs.pop(0) if len(self._jobs) > 1 else self._jobs[0]


@pytest.mark.parametrize(
    ("jobs", "asked"),
    [
        ((told(), CREATING, CREATING, CREATED), [CREATE, BEGIN]),
        ((told(), told()), [CREATE, BEGIN]),  # a kit that is done when it answers
        ((FAILED, CREATED), [CREATE, BEGIN]),  # asked anew
        ((CREATING, CREATED), [BEGIN]),  # asked again: it goes on where it was
        ((CREATED,), [BEGIN]),
    ],
)
def test_create_waits_for_the_kit_has_the_copy_trusted_and_watches_it_start(
    agent: FakeAgent,
    kage: Kage,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    jobs: tuple[AnswerReport, ...],
    asked: list[object],
) -> None:
    Birth(agent, monkeypatch, *jobs)
    assert kage("mirror", "create", TAG, "db-01") == 0
    assert agent.commands == asked
    *begun, last = capsys.readouterr().out.splitlines()
    assert begun == ["begun"] * len(asked)
    assert last.startswith("groupware is in service on db-01, after ")


def test_create_hands_its_options_on_and_tells_one_report(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Birth(agent, monkeypatch, told())
    assert kage("mirror", "create", TAG, "db-01", "--mkfs", "xfs", "--overwrite", "--json") == 0
    arguments = (("mkfs", "xfs"), ("overwrite", "yes"))
    assert agent.commands == [dataclasses.replace(CREATE, arguments=arguments), BEGIN]
    report = json.loads(capsys.readouterr().out)
    assert (report["accepted"], report["reached"]) == (True, True)


def test_a_copy_that_was_made_is_made_anew_only_over_it(
    agent: FakeAgent, kage: Kage, monkeypatch: pytest.MonkeyPatch
) -> None:
    Birth(agent, monkeypatch, CREATED)
    assert kage("mirror", "create", TAG, "db-01", "--overwrite") == 0
    assert agent.commands == [dataclasses.replace(CREATE, arguments=(("overwrite", "yes"),)), BEGIN]


def test_a_copy_that_could_not_be_made_is_not_trusted(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Birth(agent, monkeypatch, told(), CREATING, FAILED)
    assert kage("mirror", "create", TAG, "db-01") == 1
    assert agent.commands == [CREATE]
    assert "kage: refused: mkfs.xfs exited with 1" in capsys.readouterr().err


def test_a_copy_that_is_not_made_in_time_is_not_trusted_yet(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Birth(agent, monkeypatch, told(), CREATING)
    assert kage("mirror", "create", TAG, "db-01", "--timeout", "20ms") == 4
    assert capsys.readouterr().err == (
        "kage: the copy of db-01 is still being created\n  hint: give the same command again later\n"
    )
    assert kage("mirror", "create", TAG, "db-01", "--timeout", "20ms", "--json") == 4
    assert json.loads(capsys.readouterr().out)["reached"] is False
    assert agent.commands == [CREATE]


def test_a_refused_creation_is_told(agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]) -> None:
    agent.then, agent.answer = [UNBORN], AnswerReport(accepted=False, text="it holds an ext4 filesystem")
    assert kage("mirror", "create", TAG, "db-01") == 1
    assert "kage: refused: it holds an ext4 filesystem" in capsys.readouterr().err
    assert agent.commands == [CREATE]


class Typed(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        return True


GRAVE = [
    (("force", TAG, "db-01"), BEHIND, "groupware", FORCE, "--lose-writes-of db-02"),
    (("wipe", TAG, "db-02"), ALONE, "db-02", WIPE, "--lose-copy-of db-02"),
]


@pytest.mark.parametrize(("argv", "seen", "word", "command", "option"), GRAVE)
def test_what_loses_data_takes_the_typed_word_or_the_option_and_nothing_less(
    agent: FakeAgent,
    kage: Kage,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    seen: StatusReport,
    word: str,
    command: object,
    option: str,
) -> None:
    agent.then, agent.details = [seen], {"db-01": target()}
    wait = ("--no-wait",) if argv[0] == "force" else ()
    for line, code in (("yes\n", 1), ("\n", 1), ("", 1), (f"{word}\n", 0)):
        monkeypatch.setattr("sys.stdin", Typed(line))
        assert not agent.commands
        assert kage("mirror", *argv, *wait) == code
        assert f"type {word} to go on: " in capsys.readouterr().err
    assert agent.commands == [command]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{word}\n"))
    assert kage("mirror", *argv, *wait) == 2
    assert f"hint: if it may be lost: {option}\n" in capsys.readouterr().err
    name, _, whose = option.partition(" ")
    assert kage("mirror", *argv, *wait, name, "db-01,db-02") == 2
    assert f"that would be {name} {whose}" in capsys.readouterr().err
    assert agent.commands == [command]
    assert kage("mirror", *argv, *wait, *option.split()) == 0
    assert agent.commands == [command] * 2


def test_force_says_what_may_be_lost_and_what_loses_nothing(
    agent: FakeAgent, kage: Kage, capsys: pytest.CaptureFixture[str]
) -> None:
    agent.then = [mirrored("db-02", owner=None, phases=("stopped", "stopped"))]
    agent.details = {"db-01": target(state="mixture", why="a copy onto it was never finished")}
    assert kage("mirror", "force", TAG, "db-01") == 2
    assert capsys.readouterr().err == (
        "kage: groupware will run on the copy of db-01; what was written without it is lost for good:\n"
        "  db-02 may have acknowledged writes that db-01 lacks, and will be overwritten\n"
        "  db-02 answers and its copy is whole: kage in-service groupware --node db-02 loses nothing\n"
        "  the disk of db-01: a copy onto it was never finished\n"
        "nobody can be asked: standard input is no terminal\n"
        "  hint: if it may be lost: --lose-writes-of db-02\n"
    )


@pytest.mark.parametrize(
    ("seen", "argv", "said", "hint"),
    [
        (
            UNBORN,
            ("force", TAG, "db-01"),
            "no copy counts yet",
            f"begin with: kage mirror create {TAG} db-01",
        ),
        (
            BEHIND,
            ("force", TAG, "db-02"),
            "the copy of db-02 is whole",
            "kage in-service groupware --node db-02",
        ),
        (
            BEHIND,
            ("force", TAG, "db-9"),
            f'{TAG} has no copy on a node called "db-9"',
            "it has on db-01 and db-02",
        ),
        (
            ALONE,
            ("wipe", TAG, "db-9"),
            f'{TAG} has no copy on a node called "db-9"',
            "it has on db-01 and db-02",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked_to_type(
    agent: FakeAgent,
    kage: Kage,
    capsys: pytest.CaptureFixture[str],
    seen: StatusReport,
    argv: tuple[str, ...],
    said: str,
    hint: str,
) -> None:
    agent.then = [seen]
    assert kage("mirror", *argv) == 1
    assert capsys.readouterr().err == f"kage: {said}\n  hint: {hint}\n"
    assert not agent.commands


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
