"""What was saved is there after any crash; what can't be saved is told and harms nothing."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.core.effects import Durable, Failure
from agent.core.ids import HierarchyId, Instant, NodeId, Tag
from agent.core.messages import Register
from agent.runtime import store as module
from agent.runtime.store import Loaded, Store, StoreError
from tests.runtime.waiting import on_loop, until

NAME = HierarchyId("garoon")


def durable(term: int, failures: int = 1) -> Durable:
    return Durable(
        registers=(
            Register(
                hierarchy=NAME,
                term=term,
                revision=2 * term,
                owner=NodeId("db-01"),
                held=True,
                in_sync=(NodeId("db-01"), NodeId("db-02")),
            ),
        ),
        failures=tuple(
            Failure(hierarchy=NAME, tag=Tag(f"ip-{number}"), until=Instant(2**40), why="x" * 900)
            for number in range(failures)
        ),
    )


@contextmanager
def files_no_larger_than(limit: int) -> Iterator[None]:
    """What a full disk is to a file that grows."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))


def loaded(path: Path) -> Durable:
    async def load() -> Durable:
        store = Store(path)
        try:
            return (await store.load()).durable
        finally:
            await store.close()

    return asyncio.run(load())


def modes(directory: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in directory.iterdir()}


@on_loop
async def test_a_first_start_knows_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "state.db")
    assert await store.load() == Loaded(Durable(), "")
    await store.close()
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@on_loop
async def test_what_was_saved_last_is_loaded(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    await store.load()
    for term in range(50):
        await store.save(durable(term), f"boot-{term}")
    assert modes(tmp_path) == {0o600}
    await store.close()
    again = Store(tmp_path / "state.db")
    assert await again.load() == Loaded(durable(49), "boot-49")
    await again.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from agent.runtime.store import Store
from tests.runtime.test_store import durable

async def main():
    store = Store(Path(sys.argv[1]))
    await store.load()
    term = 0
    while True:
        term += 1
        await store.save(durable(term), "boot")
        print(term, flush=True)

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    for round_ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "state.db")], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            acknowledged = [int(writer.stdout.readline()) for _ in range(20 + 7 * round_)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += map(int, writer.stdout.read().split())
        # The last may have been written without having been acknowledged, never the other way round.
        assert loaded(tmp_path / "state.db") in (durable(acknowledged[-1]), durable(acknowledged[-1] + 1))


@on_loop
async def test_a_full_disk_is_told_keeps_what_was_and_passes(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    await store.load()
    await store.save(durable(1), "boot")
    with files_no_larger_than((tmp_path / "state.db-wal").stat().st_size + 100):
        for term in (2, 3):
            with pytest.raises(StoreError, match=r"state.db: (database or disk is full|disk I/O error)"):
                await store.save(durable(term, failures=100), "boot")
        other = Store(tmp_path / "state.db")
        assert (await other.load()).durable == durable(1)
        await other.close()
    await store.save(durable(4, failures=100), "boot")
    await store.close()
    again = Store(tmp_path / "state.db")
    assert (await again.load()).durable == durable(4, failures=100)
    await again.close()


@on_loop
async def test_a_disk_that_is_full_from_the_start_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "state.db")
    with files_no_larger_than(1_000), pytest.raises(StoreError, match=r"state.db: "):
        await store.load()
    assert await store.load() == Loaded(Durable(), "")
    await store.close()


@on_loop
async def test_a_hanging_disk_is_told_in_time_and_at_once_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, back, begun = Store(tmp_path / "state.db", limit_s=0.1), threading.Event(), list[bytes]()
    await store.load()
    await store.save(durable(1), "boot")
    save = store._save

    def hang(content: bytes, boot_id: str) -> None:
        begun.append(content)
        back.wait(30)
        save(content, boot_id)

    monkeypatch.setattr(store, "_save", hang)
    with pytest.raises(StoreError, match=r"state.db: the disk didn't answer within 0.1 s"):
        await store.save(durable(2), "boot")
    for _ in range(3):
        with pytest.raises(StoreError, match="hasn't answered earlier accesses"):
            await store.save(durable(3), "boot")
    assert len(begun) == 1
    back.set()
    await until(lambda: not store._disk.under_way)
    await store.save(durable(4), "boot")
    assert (await store.load()).durable == durable(4)
    await store.close()


@pytest.mark.parametrize("harm", ["garbage", "cut off", "overwritten page", "content"])
def test_a_damaged_file_is_told_and_left_as_it_is(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "state.db"

    @on_loop
    async def write() -> None:
        store = Store(path)
        await store.load()
        await store.save(durable(1, failures=20), "boot")
        await store.close()

    write()
    whole = path.read_bytes()
    match harm:
        case "garbage":
            path.write_bytes(os.urandom(len(whole)))
        case "cut off":
            path.write_bytes(whole[:4_200])
        case "overwritten page":
            path.write_bytes(whole[:4_096] + b"\xff" * 4_096 + whole[8_192:])
        case _:
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE durable SET content = substr(content, 1, 50)")
            connection.close()
    damaged = path.read_bytes()

    @on_loop
    async def read() -> None:
        store = Store(path)
        with pytest.raises(StoreError, match=rf"{path} is damaged .*mv {path} {path}.damaged"):
            await store.load()
        await store.close()

    read()
    assert path.read_bytes() == damaged
    path.rename(f"{path}.damaged")  # what the message says is enough

    @on_loop
    async def begin_anew() -> None:
        store = Store(path)
        assert (await store.load()).durable == Durable()
        await store.close()

    begin_anew()


@on_loop
async def test_another_versions_format_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "state.db")
    await store.load()
    monkeypatch.setattr(module, "FORMAT", 2)
    await store.save(durable(1), "boot")
    monkeypatch.undo()
    with pytest.raises(StoreError, match=r"another version .*format 2, this one reads 1"):
        await store.load()
    await store.close()


@on_loop
async def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"state.db: Not a directory"):
        await Store(tmp_path / "file" / "sub" / "state.db").load()
