"""How far one other node's copy is behind, and what of it no bitmap tells.

Keeps:
- from before a leg is connected until it is known what its relay records, it is owed everything;
- a copy that md has just completed counts only when what the relay had to send then is there.

In mode sync there is no relay that is behind, and all of this is empty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent.core.ids import Instant
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import Leg
from recovery_kits.mirror.legs import Member
from recovery_kits.mirror.owed import Owed
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.rejoin import FullCopy
from recovery_kits.mirror.relay.backlog import Report


class Lag:
    """One leg's."""

    def __init__(self, node: str, place: Place, owed: Owed) -> None:
        self._node, self._owed, self._is_async = node, owed, place.mode == "async"
        self._room: Path | None = None  # of the relay that is being connected
        self._report: Report | None = None
        self._complete_at: Instant | None = None  # as far as md knows

    @property
    def possible(self) -> bool:
        """Whether something may have been answered that isn't there."""
        return self._node in self._owed

    @property
    def is_strange(self) -> bool:
        """It is connected by a relay that may be behind, and the mode isn't async any more."""
        return self.possible and not self._is_async

    def look(self, member: Member, now: Instant, *, counts: bool) -> Member:
        """What the leg is whose copy `counts` or not, where md says that it is `member`."""
        self._report = self._owed.report(self._node)
        if member is not Member.IN_SYNC:
            self._complete_at = None
            return member
        self._complete_at = self._complete_at or now
        return member if counts or not self.possible or self._has_sent(self._complete_at) else Member.COPYING

    def _has_sent(self, until: Instant) -> bool:
        """Whether all that was accepted until then is at the target."""
        return self._report is not None and self._report.at_ms - self._report.lag_ms >= until

    def more(self, mine: Leg, what: Chunks | FullCopy) -> Chunks | FullCopy:
        """What must be copied: what the bitmaps say, and what was on its way."""
        if isinstance(what, FullCopy):
            return what
        assert mine.bitmap  # else it were a full copy
        offset, chunk = mine.superblock.data_offset_bytes, mine.bitmap.header.chunk_bytes
        lacking = self._owed.lacking(self._node, offset, chunk)
        return FullCopy("nothing tells what was on its way to it") if lacking is None else what | lacking

    def make_room(self) -> Path | None:
        """Where the relay of the next connection shall record what it hasn't sent; raises OSError."""
        self._room = self._owed.room(self._node) if self._is_async else None
        return self._room

    async def connecting(self) -> None:
        """The new relay's record tells nothing of what is still to be copied."""
        if self._room is not None:
            await self._owed.everything(self._node)

    async def attached(self) -> None:
        """Md copies what it lacked: from now on the record tells, and without a relay the bitmaps do."""
        if self._room is not None:
            await self._owed.known(self._node, self._room)
        else:
            await self._owed.settle(self._node)

    def details(self) -> dict[str, Any]:
        """Of a copy that counts: some of `legs` in the kit's details."""
        if self._report is None:
            return {}
        return {"lag_bytes": self._report.lag_bytes, "lag_s": round(self._report.lag_ms / 1_000, 1)}
