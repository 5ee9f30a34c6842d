"""What a destination is: it takes one message at a time, or says why not."""

from __future__ import annotations

from typing import Protocol

from agent.notify.message import Message


class NotSent(Exception):
    """A message didn't get there, or nobody can tell. Reads `why (what to do)`."""

    def __init__(self, why: str, step: str = "") -> None:
        super().__init__(f"{why} ({step})" if step else why)
        self.why, self.step = why, step


class Destination(Protocol):
    """Where messages go; one call at a time."""

    async def warm_up(self) -> None:
        """Load what the first message needs, before it is urgent; a failure is told by `send`."""

    async def send(self, message: Message) -> None:
        """Return once the other side has taken it; raises NotSent, within a bounded time."""
