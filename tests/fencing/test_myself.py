"""A node that fences itself: nothing stops the sequence, whatever hangs or fails."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config.model import SelfFence
from agent.core.states import OnAuthorityLost
from agent.fencing import myself
from agent.fencing.myself import fence_myself

WITHIN_S = 30.0


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses are for a kernel that is about to stop; here none is."""
    monkeypatch.setattr(myself, "_AFTER_S", dict.fromkeys(myself._AFTER_S, 0.01))


class Node:
    """A machine whose sysrq is a file, so that it survives."""

    def __init__(self, runner: asyncio.Runner, directory: Path) -> None:
        self._runner = runner
        self.sysrq, self.kernel_log = directory / "sysrq", directory / "kmsg"
        self.kernel_log.touch()
        self.ran = directory / "ran"

    def command(self, then: str = "") -> tuple[str, ...]:
        """A command that leaves a line behind, and then does something."""
        return ("/bin/sh", "-c", f"echo ran >>{self.ran}; {then}")

    def count(self) -> int:
        """How often the command has run."""
        return len(self.ran.read_text().splitlines()) if self.ran.exists() else 0

    def fence_until(self, done: Callable[[], bool], setup: SelfFence, command_limit_s: float = 20.0) -> None:
        """Let it fence itself until that is so."""
        self._runner.run(self._fence_until(done, setup, command_limit_s))

    async def _fence_until(self, done: Callable[[], bool], setup: SelfFence, command_limit_s: float) -> None:
        fencing = asyncio.ensure_future(
            fence_myself(
                "remove failed",
                setup,
                sysrq=self.sysrq,
                kernel_log=self.kernel_log,
                command_limit_s=command_limit_s,
            )
        )
        try:
            async with asyncio.timeout(WITHIN_S):
                while not done():
                    assert not fencing.done()
                    await asyncio.sleep(0.005)
        finally:
            fencing.cancel()
            await asyncio.wait([fencing])

    def asked(self) -> str:
        """What was written to sysrq last."""
        return self.sysrq.read_text() if self.sysrq.exists() else ""


@pytest.fixture
def node(runner: asyncio.Runner, tmp_path: Path) -> Node:
    return Node(runner, tmp_path)


def test_a_reboot_goes_through_sysrq_and_tells_the_console_why(node: Node) -> None:
    node.fence_until(lambda: node.asked() == "b", SelfFence())
    first, *_ = node.kernel_log.read_text().splitlines()
    assert first == "<2>kagemusha: fencing this node by reboot: remove failed"


def test_a_power_off_goes_through_sysrq(node: Node) -> None:
    node.fence_until(lambda: node.asked() == "o", SelfFence(on_authority_lost=OnAuthorityLost.POWEROFF))


@pytest.mark.parametrize("then", ["exit 0", "exit 1", "kill -9 $$", "sleep 600 & wait", "exec sleep 600"])
def test_a_command_that_does_not_end_this_node_is_repeated(node: Node, then: str) -> None:
    setup = SelfFence(command=node.command(then))
    node.fence_until(lambda: node.count() >= 3, setup, command_limit_s=0.5)
    assert node.asked() == ""


def test_a_power_off_that_does_not_end_this_node_is_followed_by_a_reboot(node: Node) -> None:
    node.fence_until(lambda: node.asked() == "b", SelfFence(on_authority_lost=OnAuthorityLost.POWEROFF))
    told = [line for line in node.kernel_log.read_text().splitlines() if "fencing this node by" in line]
    assert [line.split()[5].rstrip(":") for line in told[:2]] == ["poweroff", "reboot"]


def test_a_sysrq_that_fails_is_tried_again(node: Node) -> None:
    node.sysrq.mkdir()
    rounds = iter(range(100))

    def mended() -> bool:
        if next(rounds) == 50:
            node.sysrq.rmdir()
        return node.sysrq.is_file()

    node.fence_until(mended, SelfFence())


@pytest.fixture
def stuck_journal() -> Iterator[threading.Event]:
    """A log handler that waits for its disk; set the event to let it go."""
    free = threading.Event()

    class Stuck(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            free.wait()

    handler = Stuck()
    logger = logging.getLogger(myself.__name__)
    logger.addHandler(handler)
    yield free
    free.set()
    for thread in threading.enumerate():
        if thread.name == "last words":
            thread.join()
    logger.removeHandler(handler)


def test_a_journal_that_takes_no_more_does_not_stop_it(node: Node, stuck_journal: threading.Event) -> None:
    node.fence_until(lambda: node.asked() == "b", SelfFence())
    assert sum(thread.name == "last words" for thread in threading.enumerate()) == 1


def test_a_program_on_a_disk_that_hangs_does_not_stop_it(node: Node, tmp_path: Path) -> None:
    """Reading a FIFO that nobody writes to waits as reading from a dead disk does."""
    fifo = tmp_path / "script"
    os.mkfifo(fifo)
    setup = SelfFence(command=("/bin/sh", str(fifo)))

    def given_up() -> bool:
        return node.kernel_log.read_text().count("didn't end within") >= 2

    node.fence_until(given_up, setup, command_limit_s=0.3)


def test_the_whole_process_ends_by_its_command() -> None:
    """A command in the place of the reboot: it ends the program that fences itself."""
    code = (
        "import asyncio, os\n"
        "from agent.config.model import SelfFence\n"
        "from agent.fencing.myself import fence_myself\n"
        "from pathlib import Path\n"
        "kill = ('/bin/sh', '-c', f'kill -9 {os.getpid()}')\n"
        "asyncio.run(fence_myself('test', SelfFence(command=kill), kernel_log=Path('/dev/null')))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=WITHIN_S, capture_output=True)
    assert ended.returncode == -9, ended.stderr.decode()


def test_a_command_stands_in_place_of_everything_else() -> None:
    assert SelfFence().order == ("reboot",)
    assert SelfFence(on_authority_lost=OnAuthorityLost.STOP).order == ("reboot",)
    assert SelfFence(on_authority_lost=OnAuthorityLost.POWEROFF).order == ("poweroff", "reboot")
    assert SelfFence(command=("/x",), on_authority_lost=OnAuthorityLost.POWEROFF).order == ("command",)
