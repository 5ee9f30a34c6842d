"""The guard: with an agent that is stopped, killed or gone, the node is harmless when its authority ends.

Real processes: the means of fencing is a command that writes a file, so the node survives.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.config.model import SelfFence
from agent.core.ids import FOREVER, Instant, later
from agent.core.states import OnAuthorityLost
from agent.fencing import guardlink
from agent.fencing.guard import Guard, GuardFailed
from agent.runtime.clock import boottime_ms

WITHIN_S = 20.0
SHORT_MS = 200  # an authority that is meant to end
LONG_MS = 1_000  # one that is renewed: longer than this machine's stalls
ROOT = Path(__file__).parents[2]

AGENT = """
import asyncio, sys
from pathlib import Path
from agent.config.model import SelfFence
from agent.core.ids import later
from agent.fencing.guard import Guard
from agent.runtime.clock import boottime_ms

async def main(directory, long_ms, *command):
    guard = Guard(Path(directory), SelfFence(command=command), 100, kernel_log="/dev/null")
    await guard.start()
    while True:
        guard.set(later(boottime_ms(), int(long_ms)))
        print("renewed", flush=True)
        await asyncio.sleep(0.02)

asyncio.run(main(*sys.argv[1:]))
"""


class Node:
    """A machine that is fenced by a line in a file, and the guardians on it."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.fired = directory / "guard", directory / "fired"
        self.sysrq, self.kernel_log = directory / "sysrq", directory / "kmsg"
        self.sysrq.touch()
        self.kernel_log.touch()
        self.guards: list[Guard] = []
        self._seen = dict[int, int]()  # a handle for each process

    def command(self, word: str = "fired") -> tuple[str, ...]:
        return ("/bin/sh", "-c", f"echo {word} >>{self.fired}")

    def guard(self, setup: SelfFence | None = None) -> Guard:
        setup = setup or SelfFence(command=self.command())
        files = {"sysrq": str(self.sysrq), "kernel_log": str(self.kernel_log)}
        self.guards.append(Guard(self.directory, setup, 100, command_limit_ms=300, **files))
        return self.guards[-1]

    def process(self) -> int:
        """The one guardian's number."""
        (number,) = (each for each in self.processes() if self.lives(each))
        return number

    def processes(self) -> list[int]:
        """Those whose files are there; they are ended with the test."""
        found = []
        for memory in self.directory.glob("*.guardian"):
            number = int.from_bytes(memory.read_bytes()[8:16], "little")
            if number and number not in self._seen:
                try:
                    self._seen[number] = os.pidfd_open(number)
                except ProcessLookupError:
                    continue
            found += [number] if number else []
        return found

    def lives(self, number: int) -> bool:
        return number in self._seen and not select.select([self._seen[number]], [], [], 0)[0]

    def has_fired(self) -> bool:
        return self.fired.exists()

    def told(self) -> list[str]:
        """The kernel log's lines."""
        return self.kernel_log.read_text().splitlines()

    def end(self) -> None:
        self.processes()
        for number, handle in self._seen.items():
            if self.lives(number):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            os.close(handle)


@pytest.fixture
def node(tmp_path: Path, runner: asyncio.Runner) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    for guard in node.guards:
        runner.run(guard.close(disarm=False))
    node.end()


@pytest.fixture
def agent(node: Node) -> Iterator[subprocess.Popen[bytes]]:
    """An agent that renews; it has done so."""
    argv = (sys.executable, "-c", AGENT, str(node.directory), str(SHORT_MS * 5), *node.command())
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"renewed\n"
            node.process()
            yield process
        finally:
            process.kill()


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, within a bound."""
    end = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < end, "out of time"
        time.sleep(0.01)


def in_ms(ms: int) -> Instant:
    return later(boottime_ms(), ms)


async def renew(guard: Guard, periods: int) -> None:
    """Renew it for that many times what it lives without."""
    end = in_ms(periods * LONG_MS)
    while boottime_ms() < end:
        guard.set(in_ms(LONG_MS))
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_an_agent_that_is_stopped_or_killed_is_made_harmless(
    node: Node, agent: subprocess.Popen[bytes], how: signal.Signals
) -> None:
    assert not node.has_fired()
    agent.send_signal(how)
    until(node.has_fired)


def test_it_does_nothing_while_it_is_renewed_and_acts_when_it_is_not(
    node: Node, runner: asyncio.Runner
) -> None:
    guard = node.guard()
    runner.run(guard.start())
    runner.run(renew(guard, periods=3))
    assert not node.has_fired()
    last = in_ms(SHORT_MS)
    guard.set(last)  # an earlier one than it sleeps until
    until(node.has_fired)
    assert boottime_ms() >= last
    until(lambda: len(node.told()) >= 1)
    assert node.told()[0].startswith(
        "<2>kagemusha: fencing this node by command: its agent hasn't renewed for "
    )


def test_from_nothing_in_service_to_something_is_noticed(node: Node, runner: asyncio.Runner) -> None:
    guard = node.guard()
    runner.run(guard.start())
    for nothing in (None, FOREVER, None):
        guard.set(in_ms(LONG_MS))
        guard.set(nothing)
    guard.set(in_ms(SHORT_MS))
    until(node.has_fired)


@pytest.mark.parametrize("nothing", [None, FOREVER])
def test_with_nothing_in_service_it_does_not_act(
    node: Node, runner: asyncio.Runner, nothing: Instant | None
) -> None:
    guard = node.guard()
    runner.run(guard.start())
    guard.set(over := in_ms(SHORT_MS))
    guard.set(nothing)
    until(lambda: boottime_ms() > over + SHORT_MS)
    assert not node.has_fired()
    assert guard.alive


def test_an_agent_that_starts_again_goes_on_with_the_living_guardian(
    node: Node, runner: asyncio.Runner
) -> None:
    former, again = node.guard(), node.guard()
    assert runner.run(former.start()).startswith("a new guardian")
    former.set(in_ms(LONG_MS))
    number = node.process()
    runner.run(former.close(disarm=False))
    assert runner.run(again.start()) == "the guardian of the former life"
    assert node.process() == number
    runner.run(renew(again, periods=2))
    assert not node.has_fired()
    again.set(in_ms(SHORT_MS))
    until(node.has_fired)


def test_the_next_agent_ends_the_guardian_of_one_that_was_killed(
    node: Node, agent: subprocess.Popen[bytes], runner: asyncio.Runner
) -> None:
    number = node.process()
    agent.kill()
    agent.wait(WITHIN_S)
    setup = SelfFence(command=node.command())
    again = Guard(node.directory, setup, 100, kernel_log="/dev/null")  # as the agent's own
    node.guards.append(again)
    assert runner.run(again.start()) == "the guardian of the former life"
    again.set(None)
    runner.run(again.close(disarm=True))
    assert not node.lives(number)
    assert not node.has_fired()
    assert list(node.directory.iterdir()) == []


def test_a_guardian_that_is_killed_is_noticed_and_the_next_is_as_strict(
    node: Node, runner: asyncio.Runner
) -> None:
    guard = node.guard()
    runner.run(guard.start())
    guard.set(in_ms(LONG_MS))
    killed = node.process()
    os.kill(killed, signal.SIGKILL)
    runner.run(asyncio.wait_for(guard.died(), WITHIN_S))
    assert not guard.alive
    guard.set(in_ms(SHORT_MS))  # kept for the next
    runner.run(guard.start())
    assert node.process() != killed
    until(node.has_fired)


def test_other_means_replace_it_without_a_gap(node: Node, runner: asyncio.Runner) -> None:
    former = node.guard(SelfFence(command=node.command("former")))
    other = node.guard(SelfFence(command=node.command("other")))
    runner.run(former.start())
    former.set(in_ms(LONG_MS))
    number = node.process()
    runner.run(former.close(disarm=False))
    assert runner.run(other.start()).startswith("a new guardian")
    until(lambda: not node.lives(number))
    until(node.has_fired)  # the new one knows what the former was told
    until(lambda: set(node.fired.read_text().split()) == {"other"})


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_left_behind_it_goes_on_whoever_asks_it_to_end(
    node: Node, runner: asyncio.Runner, asked: signal.Signals
) -> None:
    guard = node.guard()
    runner.run(guard.start())
    guard.set(in_ms(SHORT_MS))
    os.kill(node.process(), asked)
    runner.run(guard.close(disarm=False))
    until(node.has_fired)


@pytest.mark.parametrize("disarm", [True, False])
def test_no_process_is_left_behind_with_nothing_in_service(
    node: Node, runner: asyncio.Runner, disarm: bool
) -> None:
    guard = node.guard()
    runner.run(guard.start())
    guard.set(None)
    number = node.process()
    runner.run(guard.close(disarm=disarm))
    until(lambda: not node.lives(number))


def test_disarmed_in_maintenance_it_ends_with_something_in_service(
    node: Node, runner: asyncio.Runner
) -> None:
    guard = node.guard()
    runner.run(guard.start())
    guard.set(over := in_ms(LONG_MS))
    number = node.process()
    runner.run(guard.close(disarm=True))
    assert not node.lives(number)
    until(lambda: boottime_ms() > over)
    assert not node.has_fired()


def test_its_files_may_be_deleted(node: Node, runner: asyncio.Runner) -> None:
    guard = node.guard()
    runner.run(guard.start())
    node.process()
    for each in node.directory.iterdir():
        each.unlink()
    runner.run(renew(guard, periods=2))
    assert not node.has_fired()
    guard.set(in_ms(SHORT_MS))
    until(node.has_fired)


@pytest.mark.parametrize("garbage", [b"\xff" * 7 + b"\x7f", b"", b"\xff\xff\xff"])
def test_garbage_in_its_file_does_not_keep_it_from_acting(
    node: Node, runner: asyncio.Runner, garbage: bytes
) -> None:
    guard = node.guard()
    runner.run(guard.start())
    node.process()
    assert guard._link is not None
    link, (memory,) = guard._link, node.directory.glob("*.guardian")
    first = in_ms(LONG_MS)
    for instant in (first, later(first, -1)):  # each wakes it; awake for the second it has read the first
        guard.set(instant)
        until(lambda: fcntl.ioctl(link.poker, termios.FIONREAD, bytes(4)) == bytes(4))
    memory.write_bytes(garbage)
    until(node.has_fired)


def test_an_agent_that_renews_mends_what_was_garbage(node: Node, runner: asyncio.Runner) -> None:
    guard = node.guard()
    runner.run(guard.start())
    guard.set(in_ms(LONG_MS))
    node.process()
    (memory,) = node.directory.glob("*.guardian")
    os.truncate(memory, 0)
    runner.run(renew(guard, periods=2))
    assert guard.alive
    assert not node.has_fired()


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("/no/such/program",), "ended with 127"),
        (("/bin/false",), "ended with 1"),
        (("/bin/sleep", "600"), "didn't end within 300 ms"),
    ],
)
def test_a_command_that_does_not_work_is_told_and_repeated(
    node: Node, runner: asyncio.Runner, command: tuple[str, ...], told: str
) -> None:
    guard = node.guard(SelfFence(command=command))
    runner.run(guard.start())
    node.process()
    guard.set(in_ms(1))
    until(lambda: node.kernel_log.read_text().count(told) >= 2)


def test_the_means_are_tried_in_their_order(node: Node, runner: asyncio.Runner) -> None:
    guard = node.guard(SelfFence(on_authority_lost=OnAuthorityLost.POWEROFF))
    runner.run(guard.start())
    node.process()
    guard.set(in_ms(1))
    until(lambda: node.sysrq.read_text().startswith("ob"))
    until(lambda: len(node.told()) >= 2)  # a line may come later than what it tells
    assert [line.split()[5] for line in node.told()[:2]] == ["poweroff:", "reboot:"]


def test_it_says_what_it_is_and_shows_nobody_what_it_runs(node: Node, runner: asyncio.Runner) -> None:
    runner.run(node.guard().start())
    process = Path("/proc", str(node.process()))
    assert (process / "comm").read_text() == "kage-guardian\n"
    shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert b"guardian.py" in shown
    assert b"echo" not in shown
    assert all(each.stat().st_mode & 0o077 == 0 for each in (node.directory, *node.directory.iterdir()))


@pytest.mark.parametrize(
    ("program", "problem"),
    [("raise SystemExit('out of order')", "out of order"), ("while True: pass", "0.3 s")],
)
def test_one_that_does_not_start_is_a_failure_that_says_why(
    node: Node,
    runner: asyncio.Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
    problem: str,
) -> None:
    (tmp_path / "guardian.py").write_text(program)
    monkeypatch.setattr(guardlink, "PROGRAM", tmp_path / "guardian.py")
    monkeypatch.setattr(guardlink, "START_LIMIT_S", 0.3)
    guard = node.guard()
    with pytest.raises(GuardFailed, match=problem):
        runner.run(guard.start())
    assert not guard.alive
