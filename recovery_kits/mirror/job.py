"""What a kit does for an operator beside its duties, longer than an operator waits for the answer.

Invariant: one at a time; how it ended is kept until the next one begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from recovery_kits.contract import CommandFailed, KitError
from recovery_kits.mirror.nbd import NbdError

Tell = Callable[[float], None]
"""Takes how much is done, in percent."""


@dataclass
class Job:
    """One thing asked for."""

    verb: str
    state: str = "running"  # "running" | "done" | "failed"
    percent: float | None = None
    text: str = ""  # what came of it


class Jobs:
    """The newest job of one mirror."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._job: Job | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def running(self) -> str:
        """The verb of the job that is under way, or ""."""
        return self._job.verb if self._job is not None and self._job.state == "running" else ""

    def begin(self, verb: str, work: Callable[[Tell], Awaitable[str]]) -> None:
        """Start it; nothing else may be under way. What `work` returns or raises is its text."""
        assert not self.running
        self._job = Job(verb)
        self._task = asyncio.create_task(self._follow(self._job, work), name=f"mirror {verb}")

    def details(self) -> dict[str, Any] | None:
        """`job` in the kit's details."""
        return None if self._job is None else asdict(self._job)

    async def _follow(self, job: Job, work: Callable[[Tell], Awaitable[str]]) -> None:
        def tell(percent: float) -> None:
            job.percent = round(percent, 1)

        try:
            job.text, job.state = await work(tell), "done"
        except (KitError, CommandFailed, NbdError, OSError) as trouble:
            said = trouble.reason if isinstance(trouble, KitError) else str(trouble)
            job.text, job.state = said.partition("\n")[0], "failed"  # a program can say much when it fails
        except BaseException:
            job.state = "failed"
            raise
        finally:
            self._log(f"{job.verb}: {job.state}{': ' if job.text else ''}{job.text}")
