"""Which copies are whole, told to the voters from one place.

Keeps: at most one set of nodes is being agreed on, the newest; a copy is `Counted.NO` only when a set
without it was agreed on after the last set with it had been told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from contextlib import suppress

from recovery_kits.contract import NotAgreed, Replicas
from recovery_kits.mirror.legs import Counted

_AGAIN_S = 0.5  # after a refusal


class Copies:
    """The nodes whose copies are whole, as this node sees them and as the voters were told."""

    def __init__(self, replicas: Replicas, log: Callable[[str], None], agreed: Callable[[], None]) -> None:
        """`agreed` is called at each agreement."""
        self._replicas, self._log, self._tell_agreed = replicas, log, agreed
        self._wanted: frozenset[str] | None = None
        self._agreed: frozenset[str] | None = None  # None: anything may have been told
        self._changed = asyncio.Event()
        self.why = ""  # the voters can't be told

    def counted(self, node: str) -> Counted:
        """Whether this node's copy may be used later."""
        if self._agreed is None or self._wanted is None or (node in self._agreed) != (node in self._wanted):
            return Counted.UNKNOWN
        return Counted.YES if node in self._agreed else Counted.NO

    def listed(self, node: str) -> bool:
        """Whether the voters' last word, as it is known here, counts this node's copy."""
        return node in self._replicas.in_sync()

    def whole(self, nodes: Collection[str]) -> None:
        """Say that exactly these nodes' copies are whole. Nothing is said of none: the last word stands."""
        wanted = frozenset(nodes)
        if wanted and wanted != self._wanted:
            self._wanted = wanted
            self._changed.set()

    async def tell(self) -> None:
        """Have each newest set agreed on, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            agree = asyncio.ensure_future(self._agree())
            changed = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({agree, changed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in (agree, changed):
                    each.cancel()
                    with suppress(asyncio.CancelledError):
                        await each

    async def _agree(self) -> None:
        """Ends when it is agreed: writes may go on without the others."""
        assert self._wanted
        wanted = self._wanted
        while True:
            # From here on the voters may count any of the set, though it isn't agreed yet.
            self._agreed = None if self._agreed is None else self._agreed | wanted
            try:
                await self._replicas.agree(wanted)
            except NotAgreed as refusal:
                if self.why != str(refusal):
                    self._log(f"can't say whose copies are whole: {refusal}")
                self.why = str(refusal)
                await asyncio.sleep(_AGAIN_S)
            else:
                self.why, self._agreed = "", wanted
                self._tell_agreed()
                return
