"""Scripts, real ones: given the notice on stdin, ended when their time is up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.config.notify import ScriptParameters
from agent.notify.contract import NotSent
from agent.notify.script import Script
from tests.notify.messages import message
from tests.runtime.loopback import is_alive
from tests.runtime.waiting import on_loop, until


def script(home: Path, text: str, *arguments: str, limit_ms: int = 30_000) -> Script:
    path = home / "tell"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return Script(ScriptParameters(command=(str(path), *arguments), limit_ms=limit_ms))


async def refused(destination: Script) -> str:
    with pytest.raises(NotSent) as caught:
        await destination.send(message())
    return str(caught.value)


@on_loop
async def test_it_gets_the_notice_on_stdin_and_its_arguments(tmp_path: Path) -> None:
    await script(tmp_path, f'cat > "{tmp_path}/got"; echo "$1" > "{tmp_path}/argument"', "$HOME; ls").send(
        message()
    )
    assert json.loads((tmp_path / "got").read_text()) == json.loads(message().json())
    assert (tmp_path / "argument").read_text() == "$HOME; ls\n"


@on_loop
async def test_one_that_fails_is_told_with_what_it_printed(tmp_path: Path) -> None:
    why = await refused(script(tmp_path, r"printf 'no \033[31mpager' >&2; exit 3"))
    assert why == f"{tmp_path}/tell ended with 3: no  [31mpager"
    assert "(no output)" in await refused(script(tmp_path, "exit 1"))


@on_loop
async def test_one_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    hanging = script(
        tmp_path,
        f"sleep 600 & echo $! > {tmp_path}/child.new; mv {tmp_path}/child.new {tmp_path}/child; wait",
        limit_ms=1_000,
    )
    assert "still running after 1 s" in await refused(hanging)
    child = int((tmp_path / "child").read_text())
    await until(lambda: not is_alive(child))


@on_loop
async def test_one_that_isnt_there_or_may_not_be_run_is_told(tmp_path: Path) -> None:
    missing = Script(ScriptParameters(command=(str(tmp_path / "none"),)))
    assert (
        await refused(missing)
        == f"there is no {tmp_path}/none that can be run (install it, chmod +x {tmp_path}/none)"
    )
