"""`kage notify test` and `kage check`: what would keep notices from people is known before it matters."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agent.cli.main import main
from agent.notify.findings import findings
from tests.notify.servers import web_server
from tests.notify.test_notifier import HOOK, script
from tests.runtime.inside import read_config, write_config


def kage(path: Path, *argv: str) -> int:
    return main([*argv, "--config", str(path)])


def test_every_destination_is_tried_whatever_its_filter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with web_server() as web:
        hook = HOOK.format(name="hook", port=web.port, limit="5s") + 'severity = "alarm"\n'
        path = write_config(tmp_path, more=hook + script(tmp_path, "bad", "echo no pager; exit 3"))
        assert kage(path, "notify", "test", "--node", "a") == 1
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith("hook (webhook): sent in ")
        assert lines[1] == f"bad (script): failed: {tmp_path}/bad ended with 3: no pager"
        assert kage(path, "notify", "test", "hook", "--node", "a", "--json") == 0
        (report,) = json.loads(capsys.readouterr().out)
        assert (report["name"], report["sent"], report["why"]) == ("hook", True, "")
    first, second = (json.loads(each.body) for each in web.posts)
    assert first["kind"] == second["kind"] == "test"
    assert (first["node"], first["cluster"]) == ("a", "inside")
    assert not (tmp_path / "state").exists(), "it leaves no position behind"


def test_figures_are_tried_too(
    aws_server: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    region = '[aws]\nregion = "ap-northeast-1"\n'
    path = write_config(tmp_path, more=f'{region}[notify.figures]\nkind = "cloudwatch"\n')
    assert kage(path, "notify", "test") == 0
    assert capsys.readouterr().out.startswith("figures (cloudwatch): sent in ")


def test_a_name_that_is_none_and_a_wrong_file_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path, more=script(tmp_path, "ops"))
    assert kage(path, "notify", "test", "op") == 2
    assert 'no destination is called "op"' in (told := capsys.readouterr().err)
    assert "there are: ops" in told
    assert kage(write_config(tmp_path), "notify", "test") == 2
    assert "there is no destination" in capsys.readouterr().err
    assert kage(write_config(tmp_path, more="[notify.ops]\n"), "notify", "test") == 2
    assert "notify.ops.kind: missing" in capsys.readouterr().err


def look(path: Path) -> list[str]:
    return [each.problem for setup in read_config(path).notify for each in asyncio.run(findings(setup))]


def test_files_that_are_not_as_they_must_be_are_findings(tmp_path: Path, secret_file: Path) -> None:
    mail = '[notify.mail]\nkind = "smtp"\nhost = "mail"\nsender = "a@b"\nto = ["a@b"]\nuser = "a"\n'
    more = (
        f'{mail}password_file = "{secret_file}"\nca_file = "{tmp_path}/ca.pem"\n'
        f'[notify.hook]\nkind = "webhook"\nurl = "https://a.b"\nsecret_file = "{tmp_path}/none"\n'
        f'[notify.tell]\nkind = "script"\ncommand = ["{tmp_path}/tell"]\n'
    )
    path = write_config(tmp_path, more=more)
    assert look(path) == [
        f"{tmp_path}/ca.pem holds no certificates that can be used: No such file or directory",
        f"{tmp_path}/none can't be opened: No such file or directory",
        f"there is no {tmp_path}/tell that can be run",
    ]
    secret_file.chmod(0o440)
    assert look(path)[0] == f"{secret_file} has mode 0440"


def test_files_that_are_as_they_must_be_are_none(tmp_path: Path, secret_file: Path) -> None:
    hook = f'[notify.hook]\nkind = "webhook"\nurl = "https://a.b"\nsecret_file = "{secret_file}"\n'
    assert look(write_config(tmp_path, more=hook + script(tmp_path, "ops"))) == []


def test_the_check_looks_at_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = '[notify.tell]\nkind = "script"\ncommand = ["/nowhere/tell"]\n'
    assert kage(write_config(tmp_path, more=table), "check", "--node", "a") == 1
    assert "finding: notify tell: there is no /nowhere/tell that can be run" in capsys.readouterr().out
