"""Notices: bounded, in order, numbered upwards for ever; the disk can cost history and nothing else."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path

import msgspec
import pytest

from agent.core.effects import Kind, Notice, Severity
from agent.core.ids import HierarchyId, Instant, NodeId, Tag
from agent.core.states import Action, Reason
from agent.runtime import noticelog as module
from agent.runtime.noticelog import KEPT, NoticeLog
from tests.runtime.waiting import on_loop, until

ME = NodeId("db-01")


def notice(text: str = "it works again", severity: Severity = Severity.INFO) -> Notice:
    return Notice(
        at=Instant(5),
        kind=Kind.RESOURCE_RECOVERED,
        severity=severity,
        text=text,
        hierarchy=HierarchyId("garoon"),
        tag=Tag("ip-vip"),
        action=Action.RECOVER,
        took_ms=12,
        reason=Reason.OWNER_LOST,
    )


async def opened(path: Path) -> NoticeLog:
    log = NoticeLog(path, ME)
    await log.load()
    return log


@on_loop
async def test_what_was_told_is_told_again_after_a_restart(tmp_path: Path) -> None:
    log = await opened(tmp_path / "events.jsonl")
    for number in range(3):
        log.add(notice(f"{number}: a newline \n, an umlaut ä"))
    await log.flush()
    again = await opened(tmp_path / "events.jsonl")
    assert list(again.all()) == list(log.all())
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o600


@on_loop
async def test_the_newest_or_the_next_ones_oldest_first(tmp_path: Path) -> None:
    log = await opened(tmp_path / "events.jsonl")
    assert log.newest(5) == []
    for number in range(10):
        log.add(notice(str(number)))
    assert [each.id for each in log.newest(3)] == [8, 9, 10]
    assert [each.id for each in log.newest(99)] == list(range(1, 11))
    assert [each.id for each in log.newest(3, after=4)] == [5, 6, 7]
    assert log.newest(3, after=10) == []
    assert log.newest(3, after=2**63) == []
    assert [each.notice.text for each in log.newest(1)] == ["9"]


@on_loop
async def test_ids_go_up_over_restarts_and_crashes(tmp_path: Path) -> None:
    seen = [0]
    for life in range(4):
        log = await opened(tmp_path / "events.jsonl")
        for _ in range(5):
            log.add(notice())
        if life % 2:
            await log.flush()  # every other life is killed with what it had told but not written
        ids = [each.id for each in log.newest(5)]
        assert ids == sorted(set(ids))
        assert ids[0] > seen[-1] or life % 2, "the number of what a crash lost is given again"
        seen += ids


@on_loop
async def test_it_is_bounded_in_memory_and_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._log, "disabled", True)
    path = tmp_path / "events.jsonl"
    log = await opened(path)
    for _ in range(50):
        for _ in range(500):
            log.add(notice())
        await log.flush()
        assert len(path.read_bytes().splitlines()) <= 2 * KEPT
    assert len(list(log.all())) == KEPT
    again = await opened(path)
    assert list(again.all()) == list(log.all())
    assert not path.with_suffix(".new").exists()


@on_loop
async def test_a_flood_between_two_writes_is_bounded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module._log, "disabled", True)
    log = await opened(tmp_path / "events.jsonl")
    for _ in range(3 * KEPT):
        log.add(notice())
    assert len(log._unwritten) == KEPT
    await log.flush()
    assert list((await opened(tmp_path / "events.jsonl")).all()) == list(log.all())


@on_loop
async def test_lines_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = await opened(path)
    for number in range(3):
        log.add(notice(str(number)))
    await log.flush()
    first, second, third = path.read_bytes().splitlines()
    newer = msgspec.json.encode({**msgspec.json.decode(second), "id": 7, "of a newer version": True})
    path.write_bytes(b"\n".join([first, b"", b"{", b"\xff\x00", b"[1]", newer, third[:-9]]))
    again = await opened(path)
    assert [each.id for each in again.all()] == [1, 7]
    again.add(notice("after"))
    assert again.newest(1)[0].id > 7


@on_loop
async def test_a_file_that_cannot_be_read_costs_history_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "events.jsonl").mkdir()
    log = await opened(tmp_path / "events.jsonl")
    log.add(notice())
    await log.flush()
    assert len(log.newest(5)) == 1
    assert log.newest(1)[0].id >= int(time.time()) - 60, "above all that the file may hold"
    assert "can't be read" in caplog.text
    assert "kept in memory only" in caplog.text


@on_loop
async def test_an_unwritable_disk_is_told_once_and_made_up_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = tmp_path / "gone"
    log = await opened(home / "events.jsonl")
    for number in range(3):
        log.add(notice(str(number)))
        await log.flush()
    assert caplog.text.count("kept in memory only") == 1
    home.mkdir()
    await log.flush()
    assert [each.notice.text for each in (await opened(home / "events.jsonl")).all()] == ["0", "1", "2"]
    log.add(notice("3"))
    await log.flush()
    assert len((home / "events.jsonl").read_bytes().splitlines()) == 4


@on_loop
async def test_a_hanging_disk_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DISK_LIMIT_S", 0.05)
    log, back = await opened(tmp_path / "events.jsonl"), threading.Event()
    write = log._write
    monkeypatch.setattr(log, "_write", lambda *args, **kwargs: (back.wait(30), write(*args, **kwargs)))
    log.add(notice("1"))
    await log.flush()
    log.add(notice("2"))
    await log.flush()
    assert len(log.newest(9)) == 2
    back.set()
    await until(lambda: not log._disk.under_way)
    await log.flush()
    assert [each.notice.text for each in (await opened(tmp_path / "events.jsonl")).all()] == ["1", "2"]


@on_loop
async def test_two_flushes_at_once_keep_the_order(tmp_path: Path) -> None:
    """The last one, at the agent's end, comes while another is under way."""
    log = await opened(tmp_path / "events.jsonl")
    flushes = []
    for number in range(20):
        log.add(notice(str(number)))
        flushes.append(asyncio.create_task(log.flush()))
        await asyncio.sleep(0)
    await asyncio.gather(*flushes)
    written = [each.notice.text for each in (await opened(tmp_path / "events.jsonl")).all()]
    assert written == [str(number) for number in range(20)]


@on_loop
async def test_it_writes_by_itself_until_it_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WRITE_EVERY_S", 0.01)
    log = await opened(tmp_path / "events.jsonl")
    task = asyncio.create_task(log.run())
    log.add(notice())
    await until((tmp_path / "events.jsonl").exists)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize(
    ("severity", "level"),
    [(Severity.INFO, logging.INFO), (Severity.WARNING, logging.WARNING), (Severity.ALARM, logging.ERROR)],
)
def test_each_is_said_in_the_services_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, severity: Severity, level: int
) -> None:
    caplog.set_level(logging.INFO)
    NoticeLog(tmp_path / "events.jsonl", ME).add(notice("it works", severity))
    (record,) = caplog.records
    assert (record.levelno, record.message) == (level, "resource-recovered garoon ip-vip: it works")
