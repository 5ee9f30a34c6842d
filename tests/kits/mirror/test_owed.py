"""What a source remembers of copies that may be behind."""

from __future__ import annotations

import asyncio
import fcntl
from pathlib import Path
from uuid import UUID

import pytest

from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.owed import Owed
from recovery_kits.mirror.relay.backlog import Accepted, Record, Report
from tests.runtime.waiting import on_loop

LEG, OTHER = UUID(int=7), UUID(int=8)
SIZE_BYTES, DATA_AT, CHUNK = 16 << 20, 1 << 20, 1 << 16


@pytest.fixture
def owed(tmp_path: Path) -> Owed:
    return after_a_restart(tmp_path)


def after_a_restart(tmp_path: Path) -> Owed:
    """What an agent that has just started makes of what is there."""
    return Owed(tmp_path / "state/m.owed.json", tmp_path / "run", print)


async def begun(owed: Owed, *outstanding: int) -> Path:
    """A relay to db-02 whose record has writes at these offsets; it isn't running."""
    directory = owed.room("db-02")
    record = Record(directory / "record", SIZE_BYTES)
    for offset in outstanding:
        record.add(Accepted(offset, 4_096, 0))
    await owed.everything("db-02")
    await owed.known("db-02", directory)
    return directory


@on_loop
async def test_nothing_is_owed_to_whom_no_relay_was_started(owed: Owed) -> None:
    await owed.load(LEG)
    assert owed.lacking("db-02", DATA_AT, CHUNK) == Chunks()
    assert owed.undrained == ""
    assert await owed.drained("db-02")


@on_loop
async def test_until_a_leg_is_added_everything_is_owed_and_then_what_the_record_says(
    owed: Owed, tmp_path: Path
) -> None:
    await owed.load(LEG)
    await owed.everything("db-02")
    again = after_a_restart(tmp_path)
    await again.load(LEG)
    assert again.lacking("db-02", DATA_AT, CHUNK) is None
    await begun(owed, 0, DATA_AT, DATA_AT + 5 * CHUNK)
    await again.load(LEG)
    assert again.lacking("db-02", DATA_AT, CHUNK) == Chunks(((0, 0), (5, 5)))  # md's own area is md's
    assert again.undrained == str(LEG)


@on_loop
async def test_a_record_that_is_gone_tells_nothing(owed: Owed) -> None:
    await owed.load(LEG)
    directory = await begun(owed)
    assert owed.lacking("db-02", DATA_AT, CHUNK) == Chunks()
    (directory / "record").unlink()
    assert owed.lacking("db-02", DATA_AT, CHUNK) is None


@on_loop
async def test_a_note_about_another_leg_is_void(owed: Owed, tmp_path: Path) -> None:
    await owed.load(LEG)
    await begun(owed)
    again = after_a_restart(tmp_path)
    await again.load(OTHER)
    assert again.lacking("db-02", DATA_AT, CHUNK) == Chunks()
    await again.load()
    assert again.undrained == str(LEG)  # until there is another to write


@on_loop
async def test_a_relay_is_waited_for_as_long_as_it_sends(owed: Owed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recovery_kits.mirror.owed._STUCK_S", 1.0)
    await owed.load(LEG)
    directory = await begun(owed, DATA_AT)
    with (directory / "record").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as its relay does while it lives
        draining = asyncio.create_task(owed.drained("db-02"))
        for left in range(15):
            Report(at_ms=1, lag_bytes=9_000 - left, lag_ms=9).write(directory / "report")
            await asyncio.sleep(0.1)
        assert not draining.done()
        assert not await asyncio.wait_for(draining, 5)


@on_loop
async def test_what_a_relay_had_to_send_when_it_ended_is_owed(owed: Owed) -> None:
    await owed.load(LEG)
    directory = await begun(owed, DATA_AT)
    Report(at_ms=1, lag_bytes=4_096, lag_ms=9).write(directory / "report")
    assert not await owed.drained("db-02")
    assert not await owed.drained("db-02")  # until that has been told
    await owed.everything("db-02")
    assert owed.lacking("db-02", DATA_AT, CHUNK) is None
    assert await owed.drained("db-02")


@on_loop
async def test_nothing_is_owed_when_everything_was_sent(owed: Owed, tmp_path: Path) -> None:
    await owed.load(LEG)
    directory = await begun(owed)
    Report(at_ms=1, lag_bytes=0, lag_ms=0, drained=True).write(directory / "report")
    assert await owed.drained("db-02")
    again = after_a_restart(tmp_path)
    await again.load(LEG)
    assert again.undrained == ""


@on_loop
async def test_a_note_that_can_not_be_read_is_no_empty_one(owed: Owed, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/m.owed.json").write_text('{"nodes": 3}')
    with pytest.raises(OSError, match=r"m\.owed\.json can't be understood: .*full-resync"):
        await owed.load(LEG)
