"""What of `kage mirror` can lose data, and the birth of a mirror: nothing is lost without somebody's word."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest

from agent.api.reports import AnswerReport, StatusReport
from agent.cli import mirror_grave, waiting
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import AskKit, TrustReplica
from tests.api.fake_agent import FakeAgent
from tests.api.mirrored import TAG, lost, mirrored, target, told
from tests.cli.conftest import Kage

ALONE = mirrored("db-01")
UNBORN = mirrored(owner=None, phases=("stopped", "stopped"))
BEHIND = mirrored("db-02", owner="db-02", phases=("stopped", "unknown"), other=lost())
CREATING = told(job={"verb": "create", "state": "running", "percent": 12.0})
FAILED = told(job={"verb": "create", "state": "failed", "text": "mkfs.xfs exited with 1"})
CREATED = told(job={"verb": "create", "state": "done"})
CREATE = AskKit(hierarchy=HierarchyId("groupware"), tag=Tag(TAG), node=NodeId("db-01"), verb="create")
BEGIN = TrustReplica(hierarchy=HierarchyId("groupware"), node=NodeId("db-01"), first=True)
FORCE = TrustReplica(hierarchy=HierarchyId("groupware"), node=NodeId("db-01"), first=False)
WIPE = AskKit(hierarchy=HierarchyId("groupware"), tag=Tag(TAG), node=NodeId("db-02"), verb="wipe")


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
