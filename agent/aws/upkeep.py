"""What is done for an AWS session beside its calls, so that no call has to wait for it.

Every LOOK_EVERY_S, from memory and the kernel alone, it looks whether credentials end soon or a network
interface came or went since this machine's identity was read; only then is anybody asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent.aws.errors import AwsError

LOOK_EVERY_S = 10.0
AGAIN = 3  # reads after a link changed: IMDS may hear of an interface later than the kernel

_log = logging.getLogger(__name__)


class Upkeep:
    """Looks after one session until cancelled. A failure is told once, and tried again."""

    def __init__(
        self,
        renewals: Callable[[], dict[str, Callable[[], Awaitable[object]]]],
        links_changed: Callable[[], bool],
        refresh: Callable[[], Awaitable[object]],
    ) -> None:
        """`renewals`: what is due now, by whose credentials they are."""
        self._renewals, self._links_changed, self._refresh = renewals, links_changed, refresh
        self._again = 0
        self._failing = set[str]()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Do what is due."""
        for whose, renew in self._renewals().items():
            await self._try(f"credentials of {whose} can't be renewed, and serve until they end", renew)
        if self._links_changed():
            self._again = AGAIN
        if self._again:
            self._again -= 1
            await self._try("a network interface changed, and this machine can't be read anew", self._refresh)

    async def _try(self, trouble: str, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        except AwsError as error:
            if trouble not in self._failing:
                self._failing.add(trouble)
                _log.warning("%s: %s", trouble, error)
        else:
            self._failing.discard(trouble)
