"""Commands end when they are told to, leave daemons alone, and can't flood or hang the agent."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from agent.runtime import output
from agent.runtime.process import Runner
from recovery_kits.contract import CommandFailed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the runner keeps what commands print."""
    return tmp_path / "output"


@pytest.fixture
def run(folder: Path) -> Runner:
    """A runner that loses patience soon."""
    return Runner(folder, grace_ms=200, abandon_ms=500)


def script(tmp_path: Path, body: str) -> str:
    """An executable shell script."""
    path = tmp_path / "script"
    path.write_text(f"#!/bin/sh\n{body}")
    path.chmod(0o755)
    return str(path)


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    """Wait until it holds; fail after that long."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def pids_in(path: Path, count: int) -> list[int]:
    """The pids that a script wrote down, once there are that many; else []."""
    words = path.read_text().split() if path.exists() else []
    return [int(word) for word in words] if len(words) == count else []


def lives(pid: int) -> bool:
    """Whether a process runs (a zombie that nobody has reaped doesn't)."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def sizes(folder: Path) -> list[int]:
    """The sizes of all output files, in bytes, smallest first."""
    return sorted(path.stat().st_size for path in folder.iterdir())


def tidied(folder: Path) -> list[int]:
    """What `tidy` leaves, as another life of the agent would."""
    output.tidy(folder)
    return sizes(folder)


async def cancel_after(run: Runner, ready: Callable[[], bool], *argv: str) -> None:
    """Start a command, cancel it when `ready`, and wait until the runner has finished with it."""
    task = asyncio.create_task(run(*argv))
    await until(ready)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_stdout_comes_back_and_both_streams_are_logged(run: Runner, folder: Path) -> None:
    lines: list[str] = []
    printed = asyncio.run(run("sh", "-c", "echo one; echo two >&2; printf three", log=lines.append))
    assert printed == "one\nthree"
    assert sorted(lines) == ["one", "three", "two"]
    assert list(folder.iterdir()) == []


def test_lines_are_logged_while_the_command_runs(run: Runner) -> None:
    async def body() -> None:
        lines: list[str] = []
        task = asyncio.create_task(run("sh", "-c", "echo begun; sleep 600", log=lines.append))
        await until(lambda: lines == ["begun"])
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(body())


def test_a_failure_carries_the_code_and_the_last_4_kib(run: Runner) -> None:
    with pytest.raises(CommandFailed) as caught:
        asyncio.run(run("sh", "-c", "yes 12345678 | head -n 5000; echo the end >&2; exit 3"))
    assert caught.value.code == 3
    assert caught.value.output.endswith("12345678\nthe end")
    assert len(caught.value.output) <= 4096


def test_a_missing_program_is_told_from_one_that_fails(run: Runner) -> None:
    with pytest.raises(FileNotFoundError, match="/no/such/program"):
        asyncio.run(run("/no/such/program"))
    with pytest.raises(CommandFailed, match=r"exited with 126: /etc/passwd: Permission denied"):
        asyncio.run(run("/etc/passwd"))
    with pytest.raises(CommandFailed, match="exited with 127"):
        asyncio.run(run("sh", "-c", "no-such-command"))


def test_the_environment_is_minimal(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not for children")
    printed = asyncio.run(run("env", env={"KAGE_TAG": "app"}))
    names = {line.partition("=")[0] for line in printed.splitlines()}
    assert names == {"PATH", "LANG", "HOME", "KAGE_TAG"}


def test_stdin_is_empty_and_the_group_is_its_own(run: Runner) -> None:
    printed = asyncio.run(run("sh", "-c", "cat; echo $$; ps -o pgid=,sid= -p $$"))
    pid, group, session = printed.split()
    assert pid == group == session


def test_a_daemon_survives_with_the_output_it_inherited(run: Runner, folder: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    start = script(tmp_path, f"(while :; do echo alive; sleep 0.05; done) &\necho $! > {note}\necho started")

    async def body() -> None:
        assert "started" in await run(start)
        (pid,) = pids_in(note, 1)
        try:
            empty, size = sizes(folder)  # stderr isn't written to, but held as well
            assert empty == 0
            await until(lambda: sizes(folder)[1] > size)
            assert len(tidied(folder)) == 2
            assert lives(pid)
        finally:
            psutil.Process(pid).kill()
        await until(lambda: not tidied(folder))

    asyncio.run(body())


def test_what_a_daemon_prints_for_months_is_cut(run: Runner, folder: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    start = script(tmp_path, f"(yes chatter | head -c 3000000; exec sleep 600) &\necho $! > {note}")

    async def body() -> None:
        await run(start)
        (pid,) = pids_in(note, 1)
        try:
            await until(lambda: sizes(folder) == [0, 3_000_000])
            assert tidied(folder) == [0, 0]
        finally:
            psutil.Process(pid).kill()

    asyncio.run(body())


def test_ten_megabytes_end_and_are_bounded_everywhere(run: Runner, folder: Path) -> None:
    lines: list[str] = []
    printed = asyncio.run(run("sh", "-c", "yes 1234567 | head -c 10000000; echo last", log=lines.append))
    assert printed.endswith("last\n")
    assert len(printed) <= output.FILE_BYTES
    assert "more lines were printed than are logged" in lines[-1]
    assert len(lines) < 20 * output.LINES_PER_S
    assert list(folder.iterdir()) == []


def test_a_line_without_end_is_cut(run: Runner) -> None:
    lines: list[str] = []
    asyncio.run(run("sh", "-c", "head -c 200000 /dev/zero | tr '\\0' x; echo; echo short", log=lines.append))
    assert lines == ["x" * output.LINE_BYTES + " …", "short"]


def test_a_script_that_truncates_its_own_output_is_still_read(run: Runner) -> None:
    lines: list[str] = []
    asyncio.run(run("sh", "-c", "echo before; sleep 0.3; echo after > /dev/stdout", log=lines.append))
    assert lines == ["before", "after"]


def test_a_cancelled_command_ends_with_all_its_descendants(run: Runner, tmp_path: Path) -> None:
    note = tmp_path / "pids"
    stubborn = "trap '' TERM; while :; do sleep 0.1; done"
    start = script(
        tmp_path,
        f"""trap '' TERM
        sh -c "{stubborn}" & echo $! >> {note}
        setsid sh -c "echo \\$\\$ >> {note}; {stubborn}" &
        echo $$ >> {note}
        while :; do sleep 0.1; done""",
    )
    asyncio.run(cancel_after(run, lambda: bool(pids_in(note, 3)), start))
    assert [pid for pid in pids_in(note, 3) if lives(pid)] == []


def test_a_command_may_clean_up_after_sigterm(run: Runner, tmp_path: Path) -> None:
    note, cleaned = tmp_path / "pids", tmp_path / "cleaned"
    start = script(
        tmp_path, f"trap 'touch {cleaned}; exit' TERM\necho $$ > {note}\nwhile :; do sleep 0.01; done"
    )
    asyncio.run(cancel_after(run, lambda: bool(pids_in(note, 1)), start))
    assert cleaned.exists()


def test_a_second_cancellation_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    run = Runner(folder, grace_ms=400)
    note = tmp_path / "pids"
    start = script(tmp_path, f"trap '' TERM\necho $$ > {note}\nwhile :; do sleep 0.1; done")

    async def body() -> None:
        task = asyncio.create_task(run(start))
        await until(lambda: bool(pids_in(note, 1)))
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.02)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not lives(pids_in(note, 1)[0])

    asyncio.run(body())


def test_a_daemon_that_left_before_is_not_killed_with_the_command(run: Runner, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    start = script(tmp_path, f"setsid -f sh -c 'echo $$ > {note}; exec sleep 600'\nsleep 600")
    asyncio.run(cancel_after(run, lambda: bool(pids_in(note, 1)), start))
    (pid,) = pids_in(note, 1)
    try:
        assert lives(pid)
    finally:
        psutil.Process(pid).kill()


def test_what_cannot_be_killed_is_left_behind_and_not_started_again(
    run: Runner, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that no signal reaches stands for one in an uninterruptible sleep."""

    def deaf(*_: object) -> None:
        return None

    async def body() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("agent.runtime.process._signal", deaf)
            task = asyncio.create_task(run("sleep", "600"))
            await until(lambda: any(child.name() == "sleep" for child in psutil.Process().children()))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        (stuck,) = (child for child in psutil.Process().children() if child.name() == "sleep")
        assert f"sleep 600: process {stuck.pid} can't be killed; left behind" in caplog.text
        with pytest.raises(CommandFailed, match=f"an earlier one, pid {stuck.pid}, still hangs"):
            await run("sleep", "600")
        stuck.send_signal(signal.SIGKILL)
        await until(lambda: not stuck.is_running())  # reaped, too
        await cancel_after(run, lambda: True, "sleep", "600")

    asyncio.run(body())


def test_commands_run_although_somebody_cleaned_their_folder_away(run: Runner, folder: Path) -> None:
    folder.rmdir()
    assert asyncio.run(run("echo", "printed")) == "printed\n"


def test_a_command_does_not_outlive_an_agent_that_was_killed(folder: Path, tmp_path: Path) -> None:
    started, late = tmp_path / "started", tmp_path / "late"
    command = script(tmp_path, f"echo $$ > {started}; sleep 1; touch {late}")
    program = (
        "import asyncio, pathlib, sys; from agent.runtime.process import Runner; "
        "asyncio.run(Runner(pathlib.Path(sys.argv[1]))(sys.argv[2]))"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(folder), command]) as agent:
        asyncio.run(until(lambda: bool(pids_in(started, 1))))
        agent.kill()
    asyncio.run(until(lambda: not lives(pids_in(started, 1)[0])))
    assert not late.exists()


def test_the_loop_goes_on_while_commands_run(run: Runner) -> None:
    async def body() -> None:
        ticks = 0
        command = asyncio.create_task(run("sh", "-c", "sleep 0.5"))
        while not command.done():
            await asyncio.sleep(0.01)
            ticks += 1
        assert ticks > 5

    asyncio.run(body())
