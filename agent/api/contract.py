"""What the API serves: the running agent, as far as people may look at it or ask something of it.

The runtime fulfils this protocol. Its plain methods answer at once from memory; its coroutines may
read the store or ask another node, and the server gives each of them `ANSWER_WITHIN_S`.
"""

from __future__ import annotations

from typing import Protocol

from agent.api.reports import AnswerReport, ConfigReport, EventView, StatusReport, TimelineReport
from agent.core.messages import Command

ANSWER_WITHIN_S = 10.0
LARGEST_LIMIT = 1_000  # events or timelines in one answer


class AgentFacade(Protocol):
    """One running agent. Called from its own event loop only."""

    def status(self) -> StatusReport:
        """The cluster as this node sees it now."""

    async def events(self, limit: int, after: int) -> list[EventView]:
        """At most `limit` events, oldest first.

        The newest, or with `after` > 0 the next ones above that id. Ids go on counting up when the
        agent restarts.
        """

    async def timelines(self, limit: int) -> list[TimelineReport]:
        """The newest `limit` timelines, newest first."""

    def config(self) -> ConfigReport:
        """The configuration in force."""

    async def reload_config(self) -> AnswerReport:
        """Read the file again; refused (with every problem in the text) leaves the old one in force."""

    def depart(self) -> AnswerReport:
        """The machine is about to stop: begin to hand over or stop all that runs here."""

    async def command(self, command: Command) -> AnswerReport:
        """Begin what an operator asks; accepted says that it was begun, not that it is done."""
