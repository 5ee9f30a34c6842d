"""What fencing is: making another node harmless, with proof.

A fence's invariants:
- it returns only with positive evidence that the node runs nothing any more; an empty, throttled or
  missing answer is never evidence;
- it is idempotent: it may be cut short at any await and called again, and a node that is harmless
  already is success;
- the whole call, whatever hangs, ends within the fence's own time limit;
- it never aims at the node that it runs on (that is agent.fencing.myself).
"""

from __future__ import annotations

from typing import Protocol

from agent.core.ids import NodeId


class FenceError(Exception):
    """The node isn't known to be harmless."""


class FenceFailed(FenceError):
    """Certain: not permitted, not found, refused. Trying again won't help before somebody acts."""

    def __init__(self, text: str, step: str) -> None:
        super().__init__(f"{text} ({step})" if step else text)
        self.text, self.step = text, step  # what is wrong, and what the operator can do about it


class FenceUnanswered(FenceError):
    """Nobody could tell in time: throttled, no network, no evidence yet. Trying again may help."""


class Fence(Protocol):
    """One way of making other nodes harmless."""

    async def fence(self, node: NodeId) -> str:
        """Return the evidence, such as "i-0abc… is stopped"; raises FenceFailed or FenceUnanswered."""
