"""What must survive a restart, in one SQLite file.

Keeps: when `save` returned, the state is on disk (one transaction, synchronous=FULL); a save that
failed leaves the state before it, one that ran out of time leaves that or its own; the event loop
never waits for the disk. A damaged file is never overwritten.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from agent.core.effects import Durable
from agent.runtime.disk import Disk
from agent.runtime.realtime import precede

T = TypeVar("T")
FORMAT = 1
SAVE_LIMIT_S = 5.0


class StoreError(Exception):
    """The store can't be read or written; says which file and what to do."""


@dataclass(frozen=True)
class Loaded:
    """What the agent knew when it last wrote; `boot_id` is of the machine's life it wrote in."""

    durable: Durable
    boot_id: str


class Store:
    """One file; the agent is the only one to have it open."""

    def __init__(self, path: Path, *, limit_s: float = SAVE_LIMIT_S) -> None:
        self._path = path
        self._disk = Disk(limit_s, precede)  # votes wait for what is written here
        self._connection: sqlite3.Connection | None = None

    async def load(self) -> Loaded:
        """Open or make the file and read it; raises StoreError."""
        return await self._on_disk(self._load)

    async def save(self, durable: Durable, boot_id: str) -> None:
        """Return when it is on disk; raises StoreError when it isn't, after `limit_s` at the latest."""
        content = msgspec.json.encode(durable)
        await self._on_disk(lambda: self._save(content, boot_id))

    async def close(self) -> None:
        """Let go of the file; a write that hangs is left behind."""
        with suppress(OSError, sqlite3.Error):  # everything that was saved is on disk already
            await self._disk.do(self._close)

    async def _on_disk(self, work: Callable[[], T]) -> T:
        try:
            return await self._disk.do(work)
        except sqlite3.OperationalError as error:  # full, read-only, locked, I/O
            raise StoreError(f"{self._path}: {error}") from error
        except (sqlite3.DatabaseError, msgspec.MsgspecError) as error:
            raise StoreError(_damaged(self._path, str(error))) from error
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}") from error

    def _load(self) -> Loaded:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = self._open()
        row = connection.execute("SELECT format, boot_id, content FROM durable").fetchone()
        if row is None:
            return Loaded(Durable(), "")
        if row[0] != FORMAT:
            raise StoreError(
                f"{self._path}: written by another version of the agent (format {row[0]}, this one "
                f"reads {FORMAT}); install that version again"
            )
        return Loaded(msgspec.json.decode(row[2], type=Durable), row[1])

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self._path, timeout=1, check_same_thread=False, isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS durable (one INTEGER PRIMARY KEY CHECK (one = 1), "
                    "format INTEGER NOT NULL, boot_id TEXT NOT NULL, content BLOB NOT NULL)"
                )
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _save(self, content: bytes, boot_id: str) -> None:
        self._open().execute(
            "INSERT OR REPLACE INTO durable (one, format, boot_id, content) VALUES (1, ?, ?, ?)",
            (FORMAT, boot_id, content),
        )

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _damaged(path: Path, why: str) -> str:
    return (
        f"{path} is damaged ({why}). It is left as it is. If this node's peers are running, they know "
        f"who owns what: move the file away (mv {path} {path}.damaged) and start the agent again"
    )
