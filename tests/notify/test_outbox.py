"""One destination's backlog: in order, at least once, bounded, whatever fails or is restarted."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.config.notify import NotifyTable
from agent.core.effects import Kind, Severity
from agent.core.ids import HierarchyId, Tag
from agent.notify import outbox as module
from agent.notify.contract import NotSent
from agent.notify.message import Message
from agent.notify.outbox import Outbox, pause_s
from agent.notify.position import Position
from agent.notify.wants import Wants
from agent.runtime import noticelog
from agent.runtime.noticelog import NoticeLog
from tests.notify.messages import ME, notice
from tests.runtime.waiting import on_loop, until


@dataclass
class Scripted:
    """A destination that does what the test says."""

    got: list[Message] = field(default_factory=list)
    tried: int = 0
    fails: Callable[[Message], bool] = lambda _message: False
    error: Exception = field(default_factory=lambda: NotSent("it is down"))
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def texts(self) -> list[str]:
        return [each.text for each in self.got]

    async def warm_up(self) -> None:
        """Nothing to load."""

    async def send(self, message: Message) -> None:
        self.tried += 1
        await self.gate.wait()
        if self.fails(message):
            raise self.error
        self.got.append(message)


@dataclass
class Life:
    """One life of the agent, as far as one destination is concerned."""

    home: Path
    log: NoticeLog
    destination: Scripted
    outbox: Outbox
    told: list[tuple[Kind, Severity, str]]

    def add(self, *texts: str, **how: Any) -> None:
        for text in texts:
            self.log.add(notice(text, **how))

    def position(self) -> str:
        path = self.home / "notify" / "ops.position"
        return path.read_text() if path.exists() else ""


@asynccontextmanager
async def life(
    home: Path, destination: Scripted, table: NotifyTable | None = None, *, flush: bool = True
) -> AsyncIterator[Life]:
    log, told = NoticeLog(home / "events.jsonl", ME), list[tuple[Kind, Severity, str]]()
    await log.load()
    wants = Wants(table or NotifyTable(kind="script"), {Tag("db"): HierarchyId("other")})
    outbox = Outbox(
        "ops",
        destination,
        wants,
        log,
        Position(home / "notify", "ops"),
        "shop",
        ME,
        lambda kind, severity, text: told.append((kind, severity, text)),
    )
    log.on_add = outbox.wake
    task = asyncio.create_task(outbox.run())
    try:
        yield Life(home, log, destination, outbox, told)
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if flush:
            await log.flush()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries come soon after each other."""
    monkeypatch.setattr(module, "pause_s", lambda _tries: 0.001)


@on_loop
async def test_a_new_destination_begins_with_what_comes_and_goes_on_in_order(tmp_path: Path) -> None:
    old = NoticeLog(tmp_path / "events.jsonl", ME)
    old.add(notice("before"))
    await old.flush()
    async with life(tmp_path, Scripted()) as ops:
        ops.add(*map(str, range(50)))
        await until(lambda: len(ops.destination.got) == 50)
        ops.add("later")
        await until(lambda: len(ops.destination.got) == 51)
    assert ops.destination.texts == [*map(str, range(50)), "later"]
    ids = [each.id for each in ops.destination.got]
    assert ids == sorted(ids)


@on_loop
async def test_a_failure_is_tried_again_until_it_works_and_nothing_overtakes(tmp_path: Path) -> None:
    destination = Scripted(fails=lambda _message: True)
    async with life(tmp_path, destination) as ops:
        ops.add("1", "2", "3")
        await until(lambda: destination.tried > 20)
        assert destination.got == []
        destination.fails = lambda message: message.text == "2" and destination.tried % 5 != 0
        await until(lambda: len(destination.got) == 3)
    assert destination.texts == ["1", "2", "3"]


@on_loop
async def test_there_is_one_try_at_a_time_and_a_slow_one_holds_up_only_itself(tmp_path: Path) -> None:
    destination = Scripted()
    destination.gate.clear()
    async with life(tmp_path, destination) as ops:
        for number in range(100):
            ops.add(str(number))
            await asyncio.sleep(0)
        await until(lambda: destination.tried == 1)
        for _ in range(20):
            await asyncio.sleep(0)
        assert destination.tried == 1
        destination.gate.set()
        await until(lambda: len(destination.got) == 100)


@on_loop
async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    first = Scripted(fails=lambda message: message.text == "3")
    async with life(tmp_path, first) as ops:
        ops.add("1", "2", "3", "4")
        await until(lambda: first.tried > 5)
    second = Scripted()
    async with life(tmp_path, second) as ops:
        ops.add("5")
        await until(lambda: len(second.got) == 3)
    third = Scripted()
    async with life(tmp_path, third) as ops:
        ops.add("6")
        await until(lambda: third.got)
    assert (first.texts, second.texts, third.texts) == (["1", "2"], ["3", "4", "5"], ["6"])


@on_loop
async def test_a_crash_between_sending_and_writing_it_down_sends_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, write = Scripted(), Position.write

    async def crash(self: Position, sent_id: int) -> None:
        if not first.got:
            await write(self, sent_id)

    monkeypatch.setattr(Position, "write", crash)
    async with life(tmp_path, first) as ops:
        ops.add("1", "2")
        await until(lambda: len(first.got) == 2)
    monkeypatch.undo()
    second = Scripted()
    async with life(tmp_path, second) as ops:
        await until(lambda: len(second.got) == 2)
    assert first.texts == second.texts == ["1", "2"]


@on_loop
async def test_what_a_crash_kept_from_the_log_is_no_gap(tmp_path: Path) -> None:
    first = Scripted()
    async with life(tmp_path, first, flush=False) as ops:
        ops.add("1")
        await until(lambda: first.got)
    second = Scripted()
    async with life(tmp_path, second) as ops:
        ops.add("2")
        await until(lambda: second.got)
    assert second.texts == ["2"]


@on_loop
async def test_ids_that_a_lost_log_gives_again_are_sent_all_the_same(tmp_path: Path) -> None:
    first = Scripted()
    async with life(tmp_path, first) as ops:
        ops.add(*map(str, range(20)))
        await until(lambda: len(first.got) == 20)
    (tmp_path / "events.jsonl").unlink()
    second = Scripted()
    async with life(tmp_path, second) as ops:
        ops.add("anew")
        await until(lambda: second.got)
    assert second.texts == ["anew"]
    assert second.got[0].id == 1


@on_loop
async def test_what_falls_out_of_the_log_is_said_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noticelog, "KEPT", 10)
    destination = Scripted(fails=lambda _message: True)
    async with life(tmp_path, destination) as ops:
        ops.add("0")
        await until(lambda: destination.tried)
        ops.add(*map(str, range(1, 31)))
        destination.fails = lambda _message: False
        await until(lambda: destination.texts[-1:] == ["30"])
    dropped, *rest = destination.got
    assert dropped.kind == "notices-dropped"
    assert dropped.text == "up to 21 notices were dropped: those from no. 1 to 21"
    assert [each.text for each in rest] == [str(number) for number in range(21, 31)]
    assert [each.id for each in destination.got] == list(range(21, 32))


@on_loop
async def test_a_position_that_cannot_be_read_is_said_and_not_guessed(tmp_path: Path) -> None:
    (tmp_path / "notify").mkdir()
    (tmp_path / "notify" / "ops.position").write_text("twelve\n")
    destination = Scripted()
    async with life(tmp_path, destination) as ops:
        ops.add("1")
        await until(lambda: len(destination.got) == 2)
        await until(lambda: ops.position() == "1\n")
    assert "nobody knows which of the notices before no. 1 were sent" in destination.texts[0]
    assert destination.texts[1] == "1"


@on_loop
async def test_a_full_disk_costs_repetition_after_a_restart_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with life(tmp_path, Scripted()) as ops:
        ops.add("0")
        await until(lambda: ops.destination.got and ops.position() == "1\n")

    def full(_self: Position, _sent_id: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    first = Scripted()
    with monkeypatch.context() as patched:
        patched.setattr(Position, "_write", full)
        async with life(tmp_path, first) as ops:
            ops.add("1", "2")
            await until(lambda: len(first.got) == 2)
    assert caplog.text.count("ops.position: No space left on device") == 1
    second = Scripted()
    async with life(tmp_path, second) as ops:
        ops.add("3")
        await until(lambda: len(second.got) == 3)
        await until(lambda: ops.position() == f"{second.got[-1].id}\n")
    assert first.texts + second.texts == ["1", "2", "1", "2", "3"]


@on_loop
async def test_a_disk_that_cannot_be_read_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Scripted(fails=lambda message: message.text == "2")
    async with life(tmp_path, first) as ops:
        ops.add("1", "2")
        await until(lambda: first.tried > 3)
    reads, read = list[int](), Position._read

    def fail(self: Position) -> int | None:
        reads.append(1)
        if len(reads) < 5:
            raise OSError(errno.EIO, "Input/output error")
        return read(self)

    monkeypatch.setattr(Position, "_read", fail)
    second = Scripted()
    async with life(tmp_path, second):
        await until(lambda: second.got)
    assert second.texts == ["2"]


@on_loop
async def test_a_position_moves_on_though_nothing_is_for_the_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_EVERY", 5)
    destination = Scripted()
    async with life(tmp_path, destination) as ops:
        ops.add(*map(str, range(23)), severity=Severity.INFO)
        await until(lambda: ops.position() == "20\n")
    assert destination.tried == 0


@on_loop
async def test_people_are_told_by_the_others_of_one_that_doesnt_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "TELL_AFTER_S", 0.05)
    destination = Scripted(fails=lambda _message: True)
    async with life(tmp_path, destination) as ops:
        ops.add("1")
        await until(lambda: ops.told)
        tried = destination.tried
        await until(lambda: destination.tried > tried + 10)
        destination.fails = lambda _message: False
        await until(lambda: len(ops.told) == 2)
    assert ops.told == [
        (Kind.DESTINATION_FAILED, Severity.WARNING, "ops: it is down"),
        (Kind.DESTINATION_MENDED, Severity.INFO, "ops takes notices again"),
    ]
    assert caplog.text.count("notices wait for ops: it is down") == 1, "not once for each try"


@on_loop
async def test_a_defect_of_a_destination_is_logged_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    destination = Scripted(error=ZeroDivisionError("oops"))
    destination.fails = lambda _message: destination.tried < 3
    async with life(tmp_path, destination) as ops:
        ops.add("1")
        await until(lambda: destination.got)
    assert "ZeroDivisionError: oops" in caplog.text


@pytest.mark.parametrize(
    ("table", "texts"),
    [
        (NotifyTable(kind="script"), ["alarm", "other", "warning", "path", "tag"]),
        (NotifyTable(kind="script", severity=Severity.ALARM), ["alarm", "other", "tag"]),
        (
            NotifyTable(kind="script", severity=Severity.INFO),
            ["alarm", "other", "warning", "path", "tag", "info"],
        ),
        (NotifyTable(kind="script", hierarchies=("garoon",)), ["alarm", "warning", "path"]),
        (NotifyTable(kind="script", hierarchies=("other",)), ["other", "path", "tag"]),
        (NotifyTable(kind="script", notices=(Kind.PATH_DOWN,)), ["path"]),
    ],
)
@on_loop
async def test_each_gets_what_it_asked_for(tmp_path: Path, table: NotifyTable, texts: list[str]) -> None:
    destination = Scripted()
    async with life(tmp_path, destination, table) as ops:
        ops.add("alarm")
        ops.add("other", hierarchy="other")
        ops.add("warning", severity=Severity.WARNING)
        ops.add("path", severity=Severity.WARNING, kind=Kind.PATH_DOWN, hierarchy=None, tag=None)
        ops.add("tag", hierarchy=None, tag="db")
        ops.add("info", severity=Severity.INFO)
        await until(lambda: len(destination.got) == len(texts))
    assert destination.texts == texts


def test_pauses_grow_to_a_bound_and_differ() -> None:
    assert 0.5 <= pause_s(1) <= 1.0
    assert 150 <= pause_s(10_000) <= 300
    assert len({pause_s(12) for _ in range(10)}) > 1
