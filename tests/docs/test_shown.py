"""What documents show to be typed works: commands of `kage`, TOML, and the script around OCF agents."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli.parser import build_parser
from tests.docs.site import ROOT, pages

NOT_LITERAL = re.compile(r"[…|<>\[\]{}]|ACTION")  # a form, or a line of several commands
KAGE = re.compile(r"`kage ([^`]+)`|^(?:\S*\$ +)?(?:sudo )?kage (\S.*?)(?: +#.*)?$", re.MULTILINE)
PARSER = build_parser()
BLOCK = re.compile(r"^ *```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """Each command of `kage` with the page that shows it; the reference has forms, not commands."""
    for page in pages():
        if page.parent.name == "reference":
            continue
        for found in KAGE.findall(page.read_text()):
            command = next(filter(None, found))
            if not NOT_LITERAL.search(command):
                yield str(page.relative_to(ROOT)), command


def objection(command: str) -> str:
    """Why `kage` wouldn't take it; empty if it would, or where it is only the name of a verb."""
    words, parser = shlex.split(command), PARSER
    for number, word in enumerate(words):
        verbs = _verbs(parser)
        if word not in verbs:
            break
        parser = verbs[word]
        if number == len(words) - 1:
            return ""
    try:
        PARSER.parse_args(words)
    except SystemExit as end:
        return f"{command} ends with {end.code}" if end.code else ""
    return ""


def _verbs(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    for each in parser._actions:
        if isinstance(each, _SubParsersAction):
            return dict(each.choices)
    return {}


def test_the_commands_that_documents_show_are_such_that_kage_takes() -> None:
    shown = sorted(set(commands()))
    assert len(shown) > 50
    assert [(page, why) for page, command in shown if (why := objection(command))] == []


def test_a_wrong_command_would_be_found() -> None:
    assert objection("stauts")
    assert objection("in-service groupware --nodes db-02")
    assert objection("mirror pause mirror-dir1")
    assert objection("mirror pause") == ""  # it is only named


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (str(page.relative_to(ROOT)), text)
        for page in pages()
        for kind, text in BLOCK.findall(page.read_text())
        if kind == language
    ]


@pytest.mark.parametrize(("page", "text"), blocks("toml"))
def test_the_toml_that_documents_show_is_toml(page: str, text: str) -> None:
    assert tomllib.loads(text), page


def test_the_script_around_an_ocf_agent_calls_it_as_it_wants_to_be_called(tmp_path: Path) -> None:
    agent = tmp_path / "agent"
    agent.write_text('#!/bin/sh\necho "$1 $OCF_RESOURCE_INSTANCE"\n[ "$1" != monitor ] || exit 7\n')
    ((_, text),) = [each for each in blocks("sh") if "OCF_ROOT" in each[1]]
    script = tmp_path / "ocf"
    script.write_text(re.sub(r"^agent=.*$", f"agent={agent}", text, flags=re.MULTILINE))
    for path in (agent, script):
        path.chmod(0o755)
    said = {}
    for name in ("restore", "remove", "quick_check", "recover"):
        (tmp_path / name).symlink_to(script)
        done = subprocess.run(
            [tmp_path / name, "-t", "app", "-i", "1"],
            env={"KAGE_TAG": "app", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        said[name] = (done.stdout.split("\n")[:-1], done.returncode)
    assert said == {
        "restore": (["start app"], 0),
        "remove": (["stop app"], 0),
        "quick_check": (["monitor app"], 7),
        "recover": (["stop app", "start app"], 0),
    }
