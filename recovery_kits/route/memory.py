"""Which tables a search found last: for a restore that can't wait for AWS to tell, and to see a route vanish.

Keeps:
- a file that is damaged, too long or of another search counts as none, and that is said;
- neither reading nor writing holds anybody up for longer than LIMIT_S, and neither is ever an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from recovery_kits.blocking import Blocking
from recovery_kits.route.tables import TableId

MOST_TABLES = 1_000  # AWS lets a VPC have 200 unless asked for more
LONGEST_FILE = 65_536  # bytes
LIMIT_S = 0.5


@dataclass(frozen=True)
class Seen:
    """What a search found."""

    of: str  # what was looked for
    interface: str = ""  # the ENI that the VPC is of
    vpc: str = ""
    tables: Annotated[tuple[TableId, ...], Meta(max_length=MOST_TABLES)] = ()


class Memory:
    """What one resource's search found last, also before the agent's restart."""

    def __init__(self, path: Path, of: str, log: Callable[[str], None]) -> None:
        self._path, self._of, self._log = path, of, log
        self._disk = Blocking(f"the disk of {path}", limit_s=LIMIT_S)
        self._now: Seen | None = None  # not read yet

    async def recall(self) -> Seen:
        """What was found last; no tables if that isn't known."""
        if self._now is None:
            self._now = await self._read()
        return self._now

    async def keep(self, interface: str, vpc: str, tables: tuple[str, ...]) -> None:
        """Remember what was found, and say where other tables were found than before."""
        before = await self.recall()
        self._now = Seen(self._of, interface, vpc, tables[:MOST_TABLES])
        if self._now == before:
            return
        if before.tables != self._now.tables:
            self._log(f"route tables by {self._of}: {', '.join(tables)} (were: {', '.join(before.tables)})")
        data = msgspec.json.encode(self._now)
        try:
            await self._disk.do(lambda: _write(self._path, data))
        except OSError as error:
            self._log(f"the route tables found won't be known after a restart: {error}")

    async def _read(self) -> Seen:
        try:
            data = await self._disk.do(lambda: _beginning(self._path))
            seen = msgspec.json.decode(data, type=Seen)
        except FileNotFoundError:
            return Seen(self._of)
        except (OSError, msgspec.DecodeError) as error:
            self._log(f"the route tables found last are forgotten: {self._path}: {error}")
            return Seen(self._of)
        return seen if seen.of == self._of else Seen(self._of)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LONGEST_FILE)


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
