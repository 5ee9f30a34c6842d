"""What a kit says of its copies, told to the core; and the core's answer, waited for.

Keeps: `agree` returns only while the core says that it is agreed, after the kit's newest word was fed to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from agent.core import replicas
from agent.core.authority.contract import Standing
from agent.core.events import ReplicasChanged
from agent.core.ids import HierarchyId, Instant, NodeId, Tag
from agent.core.mind import Mind
from recovery_kits.contract import NotAgreed

AGAIN_S = 0.5  # the core may have had no authority when it was told


class Agreements:
    """The core, as far as kits with replicated data ask it something."""

    def __init__(self, feed: Callable[[ReplicasChanged], None], clock_ms: Callable[[], Instant]) -> None:
        self._feed, self._clock_ms = feed, clock_ms
        self._mind: Mind | None = None
        self._stepped = asyncio.Event()

    def stepped(self, mind: Mind) -> None:
        """The core has taken a step: what waits looks again."""
        self._mind = mind
        self._stepped.set()
        self._stepped = asyncio.Event()

    def of(self, hierarchy: HierarchyId, tag: Tag) -> ResourceReplicas:
        """One resource's copies, as its kit sees them (`recovery_kits.contract.Replicas`)."""
        return ResourceReplicas(self, hierarchy, tag)

    def in_sync(self, hierarchy: HierarchyId) -> tuple[NodeId, ...]:
        """The newest register's, as this node knows it."""
        known = self._mind is not None and hierarchy in self._mind.machines
        return self._mind.authority.register(hierarchy).in_sync if self._mind and known else ()

    async def agree(self, hierarchy: HierarchyId, tag: Tag, nodes: tuple[NodeId, ...]) -> None:
        """See `Replicas.agree`."""
        while True:
            stepped = self._stepped  # before the core is told: that is a step, too
            self._feed(ReplicasChanged(self._clock_ms(), hierarchy, tag, nodes))
            until = self._clock_ms() + round(AGAIN_S * 1_000)
            while (left_ms := until - self._clock_ms()) > 0:
                if self._is_agreed(hierarchy, nodes):
                    return
                try:
                    await asyncio.wait_for(stepped.wait(), left_ms / 1_000)
                except TimeoutError:
                    break
                stepped = self._stepped

    def _is_agreed(self, hierarchy: HierarchyId, nodes: tuple[NodeId, ...]) -> bool:
        mind, at = self._mind, self._clock_ms()
        if mind is None or hierarchy not in mind.machines:
            raise NotAgreed(f"the agent doesn't look after {hierarchy}")
        if mind.authority.standing(hierarchy, at) is Standing.NONE:
            raise NotAgreed(f"this node doesn't own {hierarchy}")
        return replicas.agreed(mind, hierarchy, nodes, at)


@dataclass(frozen=True)
class ResourceReplicas:
    """The copies of one resource's data."""

    agreements: Agreements
    hierarchy: HierarchyId
    tag: Tag

    def in_sync(self) -> tuple[str, ...]:
        """The nodes whose copies are whole, as far as this one knows."""
        return self.agreements.in_sync(self.hierarchy)

    async def agree(self, nodes: Collection[str]) -> None:
        """Have it agreed that exactly these nodes' copies are whole; see `Replicas.agree`."""
        names = tuple(NodeId(node) for node in sorted(nodes))
        await self.agreements.agree(self.hierarchy, self.tag, names)
