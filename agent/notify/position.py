"""How far one destination has got: a number in a file, which is replaced in one step."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from recovery_kits.blocking import Blocking

DISK_LIMIT_S = 2.0
_ENDING = ".position"


class Damaged(Exception):
    """The file doesn't hold a number."""


class Position:
    """One destination's file. Its methods raise OSError; the loop never waits for the disk."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / (name + _ENDING)
        self._disk = Blocking("the disk", limit_s=DISK_LIMIT_S, most=1)

    async def read(self) -> int | None:
        """The id of the newest notice that was sent; None: nothing is known. Raises Damaged."""
        return await self._disk.do(self._read)

    async def write(self, sent_id: int) -> None:
        """Return when it is on disk."""
        await self._disk.do(lambda: self._write(sent_id))

    async def forget(self) -> None:
        """Begin anew next time."""
        await self._disk.do(lambda: self.path.unlink(missing_ok=True))

    def _read(self) -> int | None:
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return None
        if not text.strip().isdigit() or len(text) > 20:
            raise Damaged(f"{self.path} doesn't hold a number")
        return int(text)

    def _write(self, sent_id: int) -> None:
        new = self.path.with_name(self.path.name + ".new")
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(b"%d\n" % sent_id)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)


async def forget_all_but(directory: Path, names: Collection[str]) -> None:
    """Delete the positions of destinations that are no more; raises OSError."""
    kept = {name + _ENDING for name in names}

    def delete() -> None:
        for path in directory.glob(f"*{_ENDING}"):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    await Blocking("the disk", limit_s=DISK_LIMIT_S, most=1).do(delete)
