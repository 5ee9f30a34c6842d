"""The journal is bounded, private and never in the way; what it holds replays to the same decisions."""

from __future__ import annotations

import os
import resource
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedWriter
from pathlib import Path

import pytest

from agent.core.effects import Durable
from agent.core.events import Event, Tick
from agent.core.ids import Instant, Tag
from agent.core.messages import Recover
from agent.core.node import Node
from agent.runtime import agent as agent_module
from agent.runtime import journal as module
from agent.runtime.journal import KEPT, Journal
from agent.runtime.replay import ReplayError, replay
from tests.runtime.inside import NAME, make_agent, running, told
from tests.runtime.loopback import loopback
from tests.runtime.test_codec import AT, CLUSTER, A
from tests.runtime.waiting import on_loop, until, wait_until

OTHERWISE = "!! this version decides otherwise than the agent did"


class Writer:
    """A node that ticks, and its journal."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.at = journal, AT
        self.node = Node.starting(A, CLUSTER, Durable(), AT, same_boot=True)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            self.at = Instant(self.at + 100)
            event: Event = Tick(self.at)
            self.journal.before(self.node.state)
            self.journal.after(event, self.node.step(event))

    def tick_until(self, condition: Callable[[], object]) -> None:
        """Time goes on while the test waits."""

        def come_true() -> bool:
            self.tick()
            return bool(condition())

        wait_until(come_true)


def journals(directory: Path) -> list[Path]:
    """Newest first."""
    return sorted(directory.glob("journal-*.jsonl"))


def ticks_in(path: Path) -> int:
    return len(path.read_bytes().splitlines()) - 1


@contextmanager
def files_no_larger_than(limit: int) -> Iterator[None]:
    """What a full disk is to a file that grows."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))


@pytest.fixture(autouse=True)
def _write_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_EVERY_S", 0.01)


def test_files_are_private_bounded_and_each_replays_alone(tmp_path: Path) -> None:
    writer = Writer(Journal(tmp_path / "journal", "0.1.0", file_bytes=3_000))
    for round_ in range(3 * KEPT):
        writer.tick(60)
        wait_until(writer.journal._lines.empty)
        assert len(list((tmp_path / "journal").iterdir())) <= min(KEPT, 60 * (round_ + 1))
    writer.journal.close()
    files = journals(tmp_path / "journal")
    assert len(files) == KEPT
    assert [each.name for each in (tmp_path / "journal").iterdir() if each not in files] == []
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700
    began = []
    for path in files:
        assert path.stat().st_size < 3_000 + 8_000, "a header, and one line too many"
        lines = list(replay(path))
        assert lines[0].startswith("node db-01, agent 0.1.0, from ")
        assert not [line for line in lines if OTHERWISE in line]
        began.append(int(lines[0].split()[5]))
    assert began == sorted(began, reverse=True)


def test_what_was_written_is_on_disk_soon_though_events_never_stop(tmp_path: Path) -> None:
    """An agent that is killed must not take its last minute along."""
    writer = Writer(Journal(tmp_path, "0.1.0"))
    writer.tick_until(lambda: journals(tmp_path) and ticks_in(journals(tmp_path)[0]) > 5)
    writer.journal.close()
    assert ticks_in(journals(tmp_path)[0]) == (writer.at - AT) // 100


def test_a_line_that_broke_off_ends_the_replay_and_says_so(tmp_path: Path) -> None:
    writer = Writer(Journal(tmp_path, "0.1.0"))
    writer.tick(20)
    writer.journal.close()
    (path,) = journals(tmp_path)
    whole = path.read_bytes()
    begin_of_last = whole.rindex(b"\n", 0, -1) + 1
    for end in range(begin_of_last + 1, len(whole)):
        path.write_bytes(whole[:end])
        assert list(replay(path))[-1] == "(line 21 is cut off: the agent ended while writing it)"


@pytest.mark.parametrize(
    ("number", "damage", "why"),
    [
        (1, b"", "line 1: not of an agent's journal, or damaged"),
        (1, b"{}", "line 1: "),
        (1, b"\x00" * 50, "line 1: "),
        (7, b'{"event":', "line 7: "),
        (7, b"\x00" * 50, "line 7: "),
        (7, b'{"event":{"kind":"Tick","at":3}}', "line 7: .*Tick can't have happened then"),
        (
            7,
            b'{"event":{"kind":"HeartbeatHeard","at":9999999999999,"peer":"x","path":"y","incarnation":1,"answers":1}}',
            "line 7: .*HeartbeatHeard can't have happened then: KeyError",
        ),
        (7, b'{"event":{"kind":"Reply","request":"1","accepted":true,"text":""}}', "line 7: "),
    ],
)
def test_damage_is_told_with_file_and_line(tmp_path: Path, number: int, damage: bytes, why: str) -> None:
    writer = Writer(Journal(tmp_path, "0.1.0"))
    writer.tick(20)
    writer.journal.close()
    (path,) = journals(tmp_path)
    lines = path.read_bytes().splitlines()
    lines[number - 1] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(ReplayError, match=f"^{path}: {why}"):
        list(replay(path))


def test_a_missing_file_and_a_directory_are_told(tmp_path: Path) -> None:
    for path, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ReplayError, match=f"^{path}: {why}"):
            list(replay(path))


def test_a_line_that_this_version_decides_otherwise_is_marked(tmp_path: Path) -> None:
    writer = Writer(Journal(tmp_path, "0.1.0"))
    writer.tick(5)
    writer.journal.close()
    (path,) = journals(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"decided":0', b'"decided":17'))
    assert [line for line in replay(path) if OTHERWISE in line]


def test_a_full_disk_costs_the_journal_only_and_a_new_file_begins_after_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(Journal(tmp_path, "0.1.0", retry_s=0.02))
    writer.tick(10)
    wait_until(lambda: journals(tmp_path) and ticks_in(journals(tmp_path)[0]) == 10)
    with files_no_larger_than(1_000):
        writer.tick_until(lambda: "can't be written" in caplog.text)
        tried = writer.journal._fresh_from
        writer.tick_until(lambda: writer.journal._fresh_from > tried + 0.1)  # in vain, some times
        assert len(journals(tmp_path)) == 1, "what can't be written pushes nothing out"
    assert caplog.text.count("can't be written") == 1
    writer.tick_until(lambda: len(journals(tmp_path)) == 2)
    writer.tick(10)
    writer.journal.close()
    assert "the event journal lacks " in caplog.text
    for path in journals(tmp_path):
        assert not [line for line in replay(path) if OTHERWISE in line]


def test_a_directory_that_cannot_be_made_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    writer = Writer(Journal(tmp_path / "file" / "journal", "0.1.0", retry_s=0.02))
    writer.tick_until(lambda: "can't be written" in caplog.text)
    (tmp_path / "file").unlink()
    writer.tick_until(lambda: journals(tmp_path / "file" / "journal"))
    writer.journal.close()


def test_a_hanging_disk_costs_bounded_memory_and_leaves_no_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAITING", 50)
    back, begin = threading.Event(), Journal._begin

    def hang(journal: Journal, header: bytes) -> BufferedWriter:
        back.wait(30)
        return begin(journal, header)

    monkeypatch.setattr(Journal, "_begin", hang)
    writer = Writer(Journal(tmp_path, "0.1.0"))
    writer.tick(500)
    assert writer.journal._lines.qsize() <= 50
    back.set()
    writer.tick_until(lambda: len(journals(tmp_path)) >= 2)
    writer.tick(10)
    writer.journal.close()
    for path in journals(tmp_path):
        assert not [line for line in replay(path) if OTHERWISE in line]


@on_loop
async def test_a_real_agents_life_replays_to_the_same_decisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "Journal", partial(Journal, file_bytes=8_000))
    agent = make_agent(tmp_path)
    async with running(agent):
        await until(lambda: told(agent, "in-service"))
        for _ in range(100):
            await agent.command(Recover(hierarchy=NAME, tag=Tag("db")))
    files = journals(tmp_path / "state" / "journal")
    assert 2 <= len(files) <= KEPT
    for path in files:
        lines = list(replay(path))
        assert not [line for line in lines if OTHERWISE in line]
        assert [line for line in lines if "CommandGiven" in line]


def test_a_killed_agents_journal_replays_up_to_its_death(tmp_path: Path) -> None:
    with loopback(tmp_path) as cluster:
        a, b = cluster.start_both()
        journal = a.state / "journal" / "journal-0.jsonl"
        in_service = "info: in-service app"
        wait_until(lambda: journal.exists() and in_service in "".join(replay(journal)))
        a.kill()
        wait_until(lambda: b.sees("b", "ISP", "ISP"))
        b_journal = b.state / "journal" / "journal-0.jsonl"
        wait_until(lambda: "taking it: its owner is lost" in "".join(replay(b_journal)))
        os.kill(b.process.pid, signal.SIGKILL)
        b.process.wait()
        for path in (journal, b_journal):
            lines = list(replay(path))
            assert not [line for line in lines if OTHERWISE in line]
            assert [line for line in lines if in_service in line]
