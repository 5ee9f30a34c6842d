"""Fencing levels: several means, tried in order until one gives evidence.

Invariants:
- the next level is tried only when the one before has failed for certain, or went unanswered `tries`
  times; the first evidence ends it;
- it is bounded: each fence keeps its own time limit, and nothing is repeated beyond `tries`. Whether to
  begin again is decided by who asked;
- without a level nothing is ever fenced, and that is said, not passed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from agent.core.ids import NodeId
from agent.fencing.contract import Fence, FenceFailed, FenceUnanswered

PAUSE_S = 1.0  # before a level that wasn't answered is tried again


@dataclass(frozen=True, kw_only=True)
class Level:
    """One means."""

    name: str  # "ipmi": the [fencing.NAME] of the TOML
    fence: Fence
    tries: int = 2  # while nobody answers; a certain failure isn't repeated


@dataclass(frozen=True)
class Fenced:
    """A node is harmless: by which level, and how that is known."""

    node: NodeId
    level: str
    evidence: str

    def __str__(self) -> str:
        """`db-01 is fenced by ec2: i-0abc… is stopped`."""
        return f"{self.node} is fenced by {self.level}: {self.evidence}"


class NotFenced(Exception):
    """No level gave evidence: the node may still run anything. `failures` are (level, what it said)."""

    def __init__(self, node: NodeId, failures: Sequence[tuple[str, str]]) -> None:
        told = "; ".join(f"{level}: {text}" for level, text in failures)
        super().__init__(f"{node} is not fenced: {told or 'no fencing is configured'}")
        self.node, self.failures = node, tuple(failures)


class Levels:
    """The configured levels, the first tried first; none of them is `fencing = "none"`."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self._levels = tuple(levels)

    def __bool__(self) -> bool:
        """Whether any fencing is configured."""
        return bool(self._levels)

    async def fence(self, node: NodeId) -> Fenced:
        """Make the node harmless; raises NotFenced, with what each level said last."""
        failures: list[tuple[str, str]] = []
        for level in self._levels:
            try:
                return Fenced(node, level.name, await _try(level, node))
            except (FenceFailed, FenceUnanswered) as error:
                failures.append((level.name, str(error)))
        raise NotFenced(node, failures)


async def _try(level: Level, node: NodeId) -> str:
    """The level's evidence; raises FenceFailed at once, FenceUnanswered after its last try."""
    for _ in range(level.tries - 1):
        try:
            return await level.fence.fence(node)
        except FenceUnanswered:
            await asyncio.sleep(PAUSE_S)
    return await level.fence.fence(node)
