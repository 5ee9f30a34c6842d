"""What an operator asked for beyond the configuration; it outlives the agent and the machine.

Invariant: what is remembered is what was last answered to the operator.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Wishes:
    """Of one mirror."""

    paused: tuple[str, ...] = ()  # nodes that nothing is copied to
    resync_limit: int | None = None  # bytes a second, 0 for no limit; None: what the configuration says


class Memory:
    """A mirror's wishes, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.now = Wishes()

    async def load(self, log: Callable[[str], None]) -> None:
        """Read them; a file that can't be understood counts as none, and that is said."""
        try:
            said = json.loads(await asyncio.to_thread(self._path.read_text))
            limit = said["resync_limit"]
            self.now = Wishes(tuple(map(str, said["paused"])), None if limit is None else int(limit))
        except FileNotFoundError:
            self.now = Wishes()
        except (OSError, ValueError, KeyError, TypeError) as error:
            log(f"what was paused is forgotten: {self._path}: {error}")
            self.now = Wishes()

    async def pause(self, node: str, *, paused: bool) -> None:
        """Remember that nothing shall be copied to this node, or that it may be again; raises OSError."""
        others = {each for each in self.now.paused if each != node}
        await self._keep(replace(self.now, paused=tuple(sorted(others | {node} if paused else others))))

    async def limit(self, bytes_per_s: int | None) -> None:
        """Remember how much a resync may copy; raises OSError."""
        await self._keep(replace(self.now, resync_limit=bytes_per_s))

    async def _keep(self, wishes: Wishes) -> None:
        await asyncio.to_thread(write_durably, self._path, json.dumps(asdict(wishes)))
        self.now = wishes


def write_durably(path: Path, text: str) -> None:
    """All of it or nothing; raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
