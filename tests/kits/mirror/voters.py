"""Voters that agree when they are let, and a task that tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress

from recovery_kits.contract import NotAgreed
from recovery_kits.mirror.copies import Copies


class Voters:
    """A `Replicas` that agrees when it is let."""

    def __init__(self) -> None:
        self.asked: list[frozenset[str]] = []
        self.agreed: list[frozenset[str]] = []
        self.refusals = 0
        self.open = asyncio.Event()

    def in_sync(self) -> tuple[str, ...]:
        """The set that was agreed on last."""
        return tuple(sorted(self.agreed[-1])) if self.agreed else ()

    async def agree(self, nodes: Collection[str]) -> None:
        """Wait until `open`."""
        self.asked.append(frozenset(nodes))
        await self.open.wait()
        if self.refusals:
            self.refusals -= 1
            raise NotAgreed("this node doesn't own app")
        self.agreed.append(frozenset(nodes))


@asynccontextmanager
async def telling(copies: Copies) -> AsyncIterator[None]:
    """While its task runs."""
    task = asyncio.create_task(copies.tell())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
