"""`kage` as a process: on a terminal, in a pipe, interrupted, with the other end gone."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.fake_agent import FakeAgent, event, hierarchy, status

ROOT = Path(__file__).parents[2]
LIMIT_S = 20


def command(*argv: str) -> list[str]:
    return [sys.executable, "-m", "agent.cli.main", *argv]


def environment(**more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "80", **more}


class Terminal:
    """A process on a pseudo-terminal; what it prints is kept in `text`."""

    def __init__(self, *argv: str, **more: str) -> None:
        ours, theirs = pty.openpty()
        self._ours, self.text = ours, ""
        self.process = subprocess.Popen(
            command(*argv), stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**more)
        )
        os.close(theirs)

    def read_until(self, seen: Callable[[str], bool]) -> None:
        until = time.monotonic() + LIMIT_S
        while not seen(self.text):
            assert self._read(), self.text
            assert time.monotonic() < until, self.text

    def end(self) -> int:
        """Read until the process lets go of the terminal; its exit code."""
        try:
            until = time.monotonic() + LIMIT_S
            while self._read():
                assert time.monotonic() < until, self.text
            return self.process.wait(LIMIT_S)
        finally:
            self.close()

    def _read(self) -> bool:
        if not select.select([self._ours], [], [], 0.1)[0]:
            return True
        try:
            self.text += os.read(self._ours, 65_536).decode(errors="replace")
        except OSError:  # EIO: nobody has the other end open
            return False
        return True

    def close(self) -> None:
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(LIMIT_S)


def test_a_terminal_gets_colours_icons_and_the_tree(agent: FakeAgent, socket_path: Path) -> None:
    terminal = Terminal("status", "--socket", str(socket_path))
    assert terminal.end() == 0
    assert "\x1b[32mISP" in terminal.text
    assert "●" in terminal.text
    assert "└─ route-vip" in terminal.text


@pytest.mark.parametrize("quiet", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_and_dumb_terminals_get_no_escapes(
    agent: FakeAgent, socket_path: Path, quiet: dict[str, str]
) -> None:
    terminal = Terminal("status", "--socket", str(socket_path), **quiet)
    assert terminal.end() == 0
    assert "ISP" in terminal.text
    assert "\x1b" not in terminal.text


def test_a_terminal_without_unicode_is_no_reason_to_fail(agent: FakeAgent, socket_path: Path) -> None:
    terminal = Terminal("status", "--socket", str(socket_path), PYTHONIOENCODING="ascii")
    assert terminal.end() == 0
    assert "route-vip" in terminal.text


def test_watch_follows_and_ends_on_ctrl_c(agent: FakeAgent, socket_path: Path) -> None:
    terminal = Terminal("status", "--watch", "--socket", str(socket_path))
    try:
        terminal.read_until(lambda text: "in service on db-01" in text)
        agent.then = [status(hierarchy("db-02", ("stopped", "running")))]
        terminal.read_until(lambda text: "in service on db-02" in text)
        agent.defect = ValueError()
        terminal.read_until(lambda text: "a defect" in text)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0
    finally:
        terminal.close()
    assert "Traceback" not in terminal.text
    assert terminal.text.rstrip().endswith(("\x1b[?25h", "\x1b[?1049l"))  # cursor and screen are given back


def test_waiting_shows_what_is_in_progress_and_wipes_it(agent: FakeAgent, socket_path: Path) -> None:
    agent.then = [status(hierarchy("db-02", ("stopped", "starting")))]
    terminal = Terminal("in-service", "groupware", "--node", "db-02", "--socket", str(socket_path))
    try:
        terminal.read_until(lambda text: "groupware is starting on db-02" in text)
        agent.then = [status(hierarchy("db-02", ("stopped", "running")))]
        assert terminal.end() == 0
    finally:
        terminal.close()
    last = terminal.text.rpartition("\x1b[K")[2]
    assert last.startswith("groupware is in service on db-02, after ")


def test_ctrl_c_while_waiting_is_130_and_quiet(agent: FakeAgent, socket_path: Path) -> None:
    agent.then = [status(hierarchy("db-02", ("stopped", "starting")))]
    terminal = Terminal("in-service", "groupware", "--node", "db-02", "--socket", str(socket_path))
    try:
        terminal.read_until(lambda text: "groupware is starting on db-02" in text)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 130
    finally:
        terminal.close()
    assert "Traceback" not in terminal.text


def test_following_goes_through_a_pipe_line_by_line(agent: FakeAgent, socket_path: Path) -> None:
    agent.events_kept = [event(1)]
    follow = command("events", "--follow", "--json", "--socket", str(socket_path))
    with subprocess.Popen(
        follow, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["id"] == 1
        agent.events_kept = [event(1), event(2)]
        assert json.loads(process.stdout.readline())["id"] == 2
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 130
        assert process.stderr.read() == b""


def test_a_reader_that_goes_away_is_no_traceback(agent: FakeAgent, socket_path: Path) -> None:
    agent.events_kept = [event(number, text="x" * 1_000) for number in range(1, 1_000)]
    events = command("events", "--limit", "999", "--socket", str(socket_path))
    with subprocess.Popen(
        events, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"2026-11-18")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(LIMIT_S) == 141


def test_a_full_disk_behind_stdout_is_told(agent: FakeAgent, socket_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            command("status", "--socket", str(socket_path)),
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=LIMIT_S,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == b"kage: No space left on device\n"


def test_it_starts_without_what_it_does_not_need() -> None:
    looking = (
        "import sys; from agent.cli.main import main; main(sys.argv[1:]);"
        "heavy = ('rich', 'boto3', 'botocore', 'starlette', 'uvicorn', 'asyncio', 'agent.config');"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)"
    )
    for verb, code in ((["version"], "[]\n"), (["status", "--socket", "/nowhere"], "[]\n")):
        ended = subprocess.run(
            [sys.executable, "-c", looking, *verb],
            capture_output=True,
            text=True,
            env=environment(),
            timeout=LIMIT_S,
            check=True,
        )
        assert ended.stderr.endswith(code)
