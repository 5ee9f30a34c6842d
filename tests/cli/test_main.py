"""The command line itself, and the verbs that need no agent."""

from __future__ import annotations

import argparse
import json
import socket
import stat
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from agent import version
from agent.cli.main import main
from agent.cli.parser import build_parser
from agent.comm import keys

ISSUE_VERBS = {
    *("agent", "check", "status", "nodes", "in-service", "out-of-service", "recover", "events"),
    *("timeline", "config", "keygen", "replay", "version", "confirm"),
    *("mirror", "metrics"),
}


def parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every verb's and every action's parser."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield name, inner
                yield from parsers(inner)


def test_every_verb_has_something_that_runs_it() -> None:
    found = dict(parsers(build_parser()))
    assert set(found) >= ISSUE_VERBS
    for name, parser in found.items():
        if name not in {"config", "mirror"}:
            module, _, function = parser.get_default("run").partition(":")
            assert callable(getattr(import_module(f"agent.cli.{module}"), function)), name


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "the following arguments are required: VERB"),
        (["start"], "invalid choice: 'start'"),
        (["config"], "the following arguments are required: ACTION"),
        (["in-service"], "the following arguments are required: NAME"),
        (["in-service", "x", "--timeout", "5"], '"5" is not a duration such as 500ms, 60s or 5min'),
        (["events", "--limit", "0"], '"0" is not a number from 1 to 1000'),
        (["events", "--limit", "²"], '"²" is not a number from 1 to 1000'),
        (["confirm", "groupware"], "the following arguments are required: answer"),
        (["confirm", "groupware", "perhaps"], "invalid choice: 'perhaps'"),
        (["status", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_a_wrong_command_line_is_2(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_every_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    for _, parser in parsers(build_parser()):
        if "run" in parser._defaults:
            assert "exit codes" in " ".join(parser.format_help().split())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert main(["version", "--json"]) == 0
    text, _, report = capsys.readouterr().out.partition("\n")
    assert text == f"kage {version()}"
    assert json.loads(report) == {"version": version()}
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"kage {version()}\n"


def test_keygen_makes_a_key_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "cluster.key"
    assert main(["keygen", str(key)]) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o400
    secret = key.read_text().strip()
    assert main(["keygen", str(key)]) == 1
    said = capsys.readouterr()
    first, second = said.out.splitlines()
    assert first == f"{key}: a new key, mode 0400; copy it to every node over a safe way"
    assert second == f"seals with {keys.load(key).newest.hex()}"
    assert said.err.startswith(f"kage: {key}: exists already")
    assert secret not in said.out + said.err
    assert key.read_text().strip() == secret


def test_keygen_rotates_a_key_and_shows_ids_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "cluster.key"
    assert main(["keygen", str(key)]) == 0
    old = keys.load(key).newest.hex()
    capsys.readouterr()
    shown = []
    for step in ("--add", "--promote", "--drop-old"):
        secrets = key.read_text().split()
        assert main(["keygen", str(key), step, "--json"]) == 0
        said = capsys.readouterr().out
        assert not any(secret in said for secret in secrets)
        shown.append(json.loads(said)["keys"])
    new = keys.load(key).newest.hex()
    assert shown == [[old, new], [new, old], [new]]
    assert main(["keygen", str(key), "--promote"]) == 1
    assert "holds one key" in capsys.readouterr().err


def test_replay_of_something_else_is_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a journal\n")
    assert main(["replay", str(other)]) == 1
    assert capsys.readouterr().err.startswith(f"kage: {other}: ")
    assert main(["replay", str(tmp_path / "nothing"), "--json"]) == 1
    assert capsys.readouterr().out == ""


def test_replay_prints_the_decisions(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agent.runtime.replay.replay", lambda _path: iter(["one", "two"]))
    assert main(["replay", "/journal"]) == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    assert main(["replay", "/journal", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["one", "two"]


def test_agent_runs_the_runtime_with_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = list[tuple[object, ...]]()

    def run(*options: object) -> int:
        calls.append(options)
        return 7

    monkeypatch.setattr("agent.cli.daemon.run", run)
    assert main(["agent"]) == 7
    assert (
        main(["agent", "--config", "/c", "--node", "db-02", "--state-dir", "/s", "--runtime-dir", "/r"]) == 7
    )
    assert calls == [
        (Path("/etc/kagemusha/cluster.toml"), None, Path("/var/lib/kagemusha"), Path("/run/kagemusha")),
        (Path("/c"), "db-02", Path("/s"), Path("/r")),
    ]


CLUSTER = """\
[cluster]
name = "lab"
quorum = "none"
key_file = "{key}"

[comm_path.eni-0]
priority = 1
db-01 = "127.0.3.4"
db-02 = "127.0.6.4"

[hierarchy.app]
nodes = ["db-01", "db-02"]

[hierarchy.app.resource.script]
kit = "generic"
id = "app"
restore = "/bin/true"
remove = "/bin/true"
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "cluster.toml"
    keys.generate(tmp_path / "key")
    file.write_text(CLUSTER.format(key=tmp_path / "key"))
    return file


def test_check_of_a_good_file_is_0(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--offline", str(good)]) == 0
    assert main(["check", "--offline", "--config", str(good), "--json"]) == 0
    said = capsys.readouterr().out
    text, _, report = said.partition("{")
    first, *notes = text.splitlines()
    assert first.startswith(
        f"{good}: valid; cluster lab, nodes db-01, db-02, 1 hierarchy, 1 resource, digest "
    )
    assert notes
    assert all(note.startswith("note: ") for note in notes)
    assert json.loads("{" + report)["valid"] is True


def test_check_tells_every_problem_with_its_line(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good.write_text(good.read_text().replace("priority = 1", 'priority = "1"').replace("generic", "generics"))
    assert main(["check", str(good)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{good}:7", f"{good}:15", str(good)]
    assert lines[-1] == f"{good}: invalid, 2 problems"
    assert main(["check", str(good), "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["valid"], [each["line"] for each in report["problems"]]) == (False, [7, 15])


def test_check_of_a_missing_file_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.toml")]) == 2
    assert "isn't there: write it, or name another one" in capsys.readouterr().out


def test_check_finds_what_this_node_would_stumble_over(
    good: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (good.parent / "key").unlink()
    text = good.read_text().replace('restore = "/bin/true"', 'restore = "/nonexistent/restore"')
    good.write_text(text.replace("127.0.3.4", "192.0.2.1"))
    assert main(["check", str(good), "--node", "db-01"]) == 1
    text = capsys.readouterr().out
    assert f"finding: cluster.key_file: {good.parent / 'key'}: no such file" in text
    assert "finding: comm_path.eni-0.db-01: this machine doesn't have the address 192.0.2.1" in text
    assert "finding: script: " in text
    assert text.count("  remedy: ") == 3
    assert text.endswith("db-01: 3 findings\n")
    assert main(["check", str(good), "--node", "db-01", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["node"] == "db-01"
    assert [each["tag"] for each in report["findings"]] == [
        *("cluster.key_file", "comm_path.eni-0.db-01", "script"),
    ]


def test_check_knows_its_node_by_the_hosts_name(
    good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "db-02.example.com")
    assert main(["check", str(good)]) == 0
    assert capsys.readouterr().out.endswith("db-02: no findings\n")
    monkeypatch.setattr(socket, "gethostname", lambda: "laptop")
    assert main(["check", str(good)]) == 0
    assert capsys.readouterr().out.endswith(
        "laptop is none of the nodes: only the file was checked (see --node)\n"
    )


def test_check_for_a_node_that_is_none_is_2(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(good), "--node", "db-03"]) == 2
    assert capsys.readouterr().err == (
        'kage: no node is called "db-03"\n  hint: the nodes are db-01, db-02\n'
    )
