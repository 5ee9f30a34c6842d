"""Keeps one other node's leg a copy: carries out what `legs.decide` says.

Keeps: one step at a time for a leg; whatever one leg waits for, the others go on. A step that fails is told
in `why` and taken again after a pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

from agent.core.ids import Instant, later
from recovery_kits.blocking import Blocking
from recovery_kits.contract import CommandFailed
from recovery_kits.mirror.array import Array, ArrayState
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.copies import Copies
from recovery_kits.mirror.lag import Lag
from recovery_kits.mirror.leg import Leg, read_leg
from recovery_kits.mirror.legs import Counted, Facts, Member, Retry, Step, decide, member_of
from recovery_kits.mirror.link import Link
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.negotiation import Session
from recovery_kits.mirror.owed import Owed
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.progress import Progress, Resync
from recovery_kits.mirror.recognition import Refused, same_leg, what_to_copy
from recovery_kits.mirror.rejoin import FullCopy
from recovery_kits.mirror.relays import Relays
from recovery_kits.mirror.troubles import POLL_S, Troubles
from recovery_kits.mirror.turns import Queued, Turns

_CONNECT_S = 5.0  # for an address to answer
_FAIL_S = 0.05
_SLOW_PAUSE_MS = 300_000  # until a leg that was too slow is tried again
_REACH_MS = (500, 1_000, 2_000, 5_000, 10_000)  # pauses until it is tried to reach a node again
_COPY_MS = (1_000, 10_000, 60_000, 300_000)  # and to copy to one that fell silent under it
_PROBE = (4_096, 4_096)  # offset and length of what a disk must be able to write: its superblock's place
_ADD_S = 60.0  # for md to take a leg in; the copy itself comes after
_TROUBLES = (NbdError, CommandFailed, Refused, Queued, OSError)


@dataclass(frozen=True, kw_only=True)
class Hands:
    """What the keepers of a mirror's legs share."""

    place: Place
    array: Array
    copies: Copies
    read_local: Callable[[], Awaitable[Leg]]  # this node's leg; raises OSError or Refused
    adding: asyncio.Lock  # md takes in one leg at a time
    turns: Turns  # and copies to one
    owed: Owed
    disk_ms: Callable[[], int | None]  # what this node's disk takes for an answer; None: nobody knows
    clock_ms: Callable[[], Instant]
    log: Callable[[str], None]
    relays: Relays | None = None  # that connections go through


class Keeper:
    """One node's leg."""

    def __init__(self, node: str, hands: Hands) -> None:
        self.node, self._hands = node, hands
        self.link = Link(hands.place, node, hands.relays)
        self._lag = Lag(node, hands.place, hands.owed)
        self.paused = False  # an operator's wish
        self.afresh = False  # detach it, and attach it again
        self.full = False  # and then copy everything, for an operator
        self.whole: bool | None = None  # shall its copy count; None: as md says
        self.member = Member.ABSENT
        self.why = ""  # the last step failed
        self.refused = False  # and another try won't help before somebody has done something
        self.queued = False  # another node's leg is copied to first
        self.progress: Progress | None = None
        self.last: Resync | None = None
        self._troubles = Troubles(hands.place, hands.disk_ms)
        self._trying = Blocking(f"the leg of {node}", limit_s=_CONNECT_S, most=2)
        self._lacking_since: Instant | None = None  # its copy isn't whole
        self._retry = Retry(*_REACH_MS)
        self._copy_again = Retry(*_COPY_MS)
        self._slot: int | None = None

    def find(self) -> None:
        """See what an agent before this one has connected; raises NbdError."""
        self.link.find()
        self.afresh = self.link.index is not None and self._lag.is_strange

    def look(self, state: ArrayState) -> None:
        """See what md says of the leg now, and for how long it hasn't answered."""
        found = state.member(self.link.device)
        said, now = member_of(found), self._hands.clock_ms()
        self._slot = found.slot if found is not None else self._slot
        if self.whole is None:
            self.whole = said is Member.IN_SYNC and self._hands.copies.listed(self.node)
        self.member = self._lag.look(said, now, counts=self.whole)
        if self.link.dead and self.member is not Member.ABSENT and self._lag.possible:
            self.afresh = True  # its relay has ended, and with it what was on its way
        excluded = self._hands.copies.counted(self.node) is Counted.NO
        self._troubles.look(now, self.link, whole=self.member is Member.IN_SYNC, excluded=excluded)
        self._follow_copy(now, state)
        self._follow_turns()
        if self.whole:
            self._lacking_since = None
        elif self._lacking_since is None:
            self._lacking_since = now

    @property
    def slow_ms(self) -> int:
        """How long a whole copy takes for an answer on average, if that is too long; else 0."""
        return self._troubles.slow_ms

    async def step(self) -> bool:
        """Do what comes next for it; whether that has changed anything."""
        match decide(self._facts(), self._troubles.dead_after_ms):
            case Step.REST:
                return False
            case Step.EXCLUDE:
                return self._count(whole=False)
            case Step.INCLUDE:
                return False if self.whole else await self._try(self._include)
            case Step.RECONNECT:
                return await self._try(self._reconnect)
            case Step.DETACH:
                if self.member is Member.COPYING and self._troubles.ms:
                    self._copy_again.failed(self._hands.clock_ms())
                detached = await self._try(self._detach)
                if detached and self._troubles.too_slow_ms:
                    self._hold_off()
                return detached
            case Step.ATTACH:
                self._troubles.too_slow_ms = 0
                return await self._try(self._attach)

    def _hold_off(self) -> None:
        """Don't take it back at once: it was too slow."""
        self._retry.hold(later(self._hands.clock_ms(), _SLOW_PAUSE_MS))
        again = f"it is tried again after {_SLOW_PAUSE_MS // 60_000} min"
        self.why = f"it took {self._troubles.too_slow_ms} ms for an answer; {again}"
        self._hands.log(f"{self.node}: {self.why}")

    def _count(self, *, whole: bool) -> bool:
        """Its copy shall count, or not; to have that agreed is the source's part, for all copies at once."""
        changed, self.whole = self.whole is not whole, whole
        return changed

    def try_now(self) -> None:
        """Something has changed: don't wait until the pause is over."""
        self._retry.over()
        self._copy_again.over()

    def copy_afresh(self, *, full: bool) -> None:
        """Detach it, and attach it again; by a full copy if so."""
        self.full, self._troubles.too_slow_ms = full, 0
        self.afresh = self.member is not Member.ABSENT
        self.try_now()

    def _facts(self) -> Facts:
        return Facts(
            member=self.member,
            counted=self._hands.copies.counted(self.node),
            connected=self.link.index is not None,
            link_dead=self.link.dead,
            troubled_ms=self._troubles.ms,
            slow=self._troubles.too_slow_ms > 0,
            paused=self.paused,
            afresh=self.afresh or self._hands.turns.gives_way(self.node),
            may_try=all(each.may_try(self._hands.clock_ms()) for each in (self._retry, self._copy_again)),
        )

    def _follow_copy(self, now: Instant, state: ArrayState) -> None:
        if self.member is Member.COPYING:
            if self.progress is None:  # begun by an agent before this one
                self.progress = Progress("full", state.size_bytes, now)
            if state.sync_done_bytes is not None and state.sync_total_bytes:
                self.progress.look(now, state.sync_done_bytes / state.sync_total_bytes)
        elif self.member is Member.IN_SYNC and self.progress is not None:
            self.last, self.progress = self.progress.done(now), None
            self._copy_again.over()
            self._hands.log(f"{self.node} has a whole copy again: {self.last.bytes} bytes copied")

    def _follow_turns(self) -> None:
        turns = self._hands.turns
        if self.member in {Member.IN_SYNC, Member.FAULTY} or self.paused:
            turns.leave(self.node)
        elif self.member is Member.COPYING and self.progress is not None:
            turns.found(self.node, full=self.progress.kind == "full")
        if self.queued and turns.free:
            self.queued = False
            self._retry.over()

    async def _try(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except _TROUBLES as trouble:
            why = str(trouble) or f"{step.__name__.strip('_')}: it took too long"
            if why != self.why:
                self._hands.log(f"{self.node}: {why}")
            self.why, self.refused = why, isinstance(trouble, Refused)
            self.queued = isinstance(trouble, Queued)
            if self.member is Member.ABSENT and not self.queued:
                self._hands.turns.leave(self.node)
            self._retry.failed(self._hands.clock_ms())
            return False
        self.why, self.refused, self.queued = "", False, False
        self._retry.over()
        return True

    async def _reconnect(self) -> None:
        """Over the other address, within the time that is left."""
        left_s = max(self._hands.place.dead_after_ms - self._troubles.ms, 100) / 1_000
        async with asyncio.timeout(left_s):
            async with await self.link.open_other(limit_s=left_s / 2) as session:  # there may be a third
                mine, found = await self._hands.read_local(), await read_leg(session.read)
                if why := same_leg(mine, found, self._slot):
                    self.afresh = True
                    raise Refused(why)
                await self.link.reconnect(session)
            await self._trying.do(self.link.flush)
        self._troubles.reconnected()
        self._hands.log(f"{self.node}: connected again, by {self.link.address}")

    async def _detach(self) -> None:
        """What waits for it fails as the connection is taken away; md goes on with the others."""
        array, device, self.progress = self._hands.array, self.link.device, None
        failing = asyncio.ensure_future(array.fail(device))
        try:
            await asyncio.wait({failing}, timeout=_FAIL_S)  # it may itself wait for what waits
            await self.link.disconnect()
            await failing
        finally:
            failing.cancel()
        await array.remove(device)
        self._hands.turns.leave(self.node)
        self.link.find()
        self.afresh = False
        self._hands.log(f"{self.node}: its leg is detached")

    async def _attach(self) -> None:
        """Connect to the leg, look at it, and have md copy what it lacks."""
        self.link.behind = self._lag.make_room()
        async with await self.link.open(limit_s=_CONNECT_S) as session:
            mine, found = await self._hands.read_local(), await read_leg(session.read)
            what = self._lag.more(mine, what_to_copy(mine, found, session.description))
            if self.full:
                what = FullCopy("an operator wants it")
            await self._probe(session)
            self._hands.turns.take(self.node, full=isinstance(what, FullCopy))
            await self._lag.connecting()
            await self.link.connect(session)
        self._troubles.attached()
        try:
            async with asyncio.timeout(_ADD_S), self._hands.adding:
                await self._answering(self._add(mine, what))
        except BaseException:
            self.progress = None
            await self.link.disconnect()
            raise
        self.full = False
        await self._lag.attached()

    async def _probe(self, session: Session) -> None:
        """A disk that takes no writes would hold up everybody's as soon as md has it."""
        if self._hands.place.mode == "async":  # its relay answers before the disk does
            return
        try:
            await session.rewrite(*_PROBE)
        except NbdError as error:
            raise NbdError(error.subject, f"its disk takes no write: {error.reason}", error.errno) from error

    async def _add(self, mine: Leg, what: Chunks | FullCopy) -> None:
        array, now = self._hands.array, self._hands.clock_ms()
        await array.make_room(1 + len(self._hands.place.peers))
        if isinstance(what, FullCopy):
            self._hands.log(f"{self.node}: everything is copied: {what.reason}")
            self.progress = Progress("full", mine.superblock.size_bytes, now)
            await array.add(self.link.device)
        else:
            assert mine.bitmap  # else it were a full copy
            self.progress = Progress("union", len(what) * mine.bitmap.header.chunk_bytes, now)
            await array.re_add(self.link.device, what)

    async def _include(self) -> None:
        """Its node may take over from the moment that its copy counts: it must know what others lack."""
        await self._hands.array.share_bitmap(self.link.device)
        self.whole = True

    async def _answering(self, work: Awaitable[None]) -> None:
        """Do it as long as the leg answers: a leg that is being added can hold writes up, too."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=POLL_S)
                if self._troubles.ms >= self._hands.place.dead_after_ms:
                    await self.link.disconnect()  # then md's part fails, and says so
            await task
        finally:
            task.cancel()

    def details(self) -> dict[str, Any]:
        """One of `legs` in the kit's details."""
        copying = self.progress.details() if self.progress is not None else {}
        last = None if self.last is None else asdict(self.last)
        since = self._lacking_since
        return {
            "node": self.node,
            "state": self._state(),
            "address": self.link.address if self.link.index is not None else "",
            "stalled_ms": self._troubles.ms,
            "answer_ms": self._troubles.answer_ms,
            "slow_ms": self.slow_ms,
            "why": self.why or self._hands.copies.why,
            "lag_s": None if since is None else round((self._hands.clock_ms() - since) / 1_000, 1),
            **(self._lag.details() if self.whole else {}),
            "last_resync": last,
            **copying,
        }

    def _state(self) -> str:
        if self.member is Member.ABSENT:
            if self.paused:
                return "paused"
            if self.refused or self.queued:
                return "refused" if self.refused else "queued"
            if self._troubles.too_slow_ms:
                return "slow"
            return "unreachable" if self.why else "dropped"
        if self._troubles.ms or self.member is Member.FAULTY:
            return "waiting"
        return "copying" if self.member is Member.COPYING else "in-sync"
