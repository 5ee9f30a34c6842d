"""Looks after a mirror where it is in service: one keeper for each other node's leg, one word for all copies.

Keeps: the mirror's state is read from sysfs alone, so a disk or a node that doesn't answer stops nobody here.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from agent.core.ids import Instant
from recovery_kits.contract import CommandFailed, Tools
from recovery_kits.mirror.answers import Pace, Stall, answers
from recovery_kits.mirror.array import Array, ArrayState
from recovery_kits.mirror.copies import Copies
from recovery_kits.mirror.keeper import Hands, Keeper
from recovery_kits.mirror.leg import Leg, Read
from recovery_kits.mirror.links import DeadLinks
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.owed import Owed
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.relays import Relays
from recovery_kits.mirror.superblock import SUPERBLOCK_AT, SUPERBLOCK_BYTES
from recovery_kits.mirror.troubles import LONGEST_GAP_MS, POLL_S
from recovery_kits.mirror.turns import Turns
from recovery_kits.mirror.wishes import Memory

_TRY_S = 2.0
HUNG_MS = 10_000  # a local disk that answers nothing for so long counts as failed


def clock_ms() -> Instant:
    """Milliseconds of CLOCK_MONOTONIC: they don't pass while the machine is suspended, nor do requests."""
    return Instant(time.monotonic_ns() // 1_000_000)


class Source:
    """The mirror, in service here."""

    def __init__(
        self,
        place: Place,
        array: Array,
        tools: Tools,
        memory: Memory,
        read_disk: Read,
        read_local: Callable[[], Awaitable[Leg]],
        resync_limit: int,
        relays: Relays | None,
        owed: Owed,
    ) -> None:
        """`resync_limit`: the configuration's, in bytes a second."""
        self._place, self._array, self._tools, self._memory = place, array, tools, memory
        self._resync_limit, self._relays = resync_limit, relays
        self._copies = Copies(tools.replicas, tools.log, self._stir)
        self._stirred = asyncio.Event()  # another one after each look and each agreement
        self._disk_pace = Pace(LONGEST_GAP_MS, place.slow_after_ms)
        hands = Hands(
            place=place,
            array=array,
            copies=self._copies,
            read_local=read_local,
            adding=asyncio.Lock(),
            turns=Turns(),
            clock_ms=clock_ms,
            log=tools.log,
            relays=relays,
            owed=owed,
            disk_ms=self._disk_ms,
        )
        self.keepers: Mapping[str, Keeper] = {node: Keeper(node, hands) for node in place.peers}
        self._disk_stall = Stall(LONGEST_GAP_MS)
        self._unanswered_ms = 0  # for how long the disk hasn't answered our own reading
        self._read_disk = read_disk
        self.state: ArrayState | None = None  # as it was seen last
        self._disk_name = place.disk_name
        self._looking = asyncio.Lock()

    async def attend(self) -> None:
        """Until cancelled; then everything is left as it is."""
        await self._array.thaw()  # an agent before this one may have ended while it added a leg
        await self._make_room()
        await self.throttle()
        self.obey()
        with await DeadLinks.listen() as dead:
            for keeper in self.keepers.values():
                keeper.find()
            await self._look()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copies.tell())
                group.create_task(self._hear(dead))
                group.create_task(self._watch())
                group.create_task(self._try_disk())
                if self._relays is not None:
                    group.create_task(self._relays.keep_ready(self._place.tag, self._tools.log))
                for keeper in self.keepers.values():
                    group.create_task(self._keep(keeper))

    async def _make_room(self) -> None:
        """A place for each node's leg, and no more: md would keep notes for a node that has left for good."""
        try:
            await self._array.make_room(1 + len(self._place.peers))
        except (OSError, CommandFailed) as trouble:  # tried again before a leg is added
            self._tools.log(f"the mirror isn't made for {1 + len(self._place.peers)} copies: {trouble}")

    def obey(self) -> None:
        """Take over what an operator wishes now."""
        for node, keeper in self.keepers.items():
            paused = node in self._memory.now.paused
            if keeper.paused is not paused:
                keeper.paused = paused
                keeper.try_now()
        self._stir()

    @property
    def disk_stalled_ms(self) -> int:
        """For how long this node's disk has had something to answer and answered nothing."""
        return max(self._disk_stall.ms, self._unanswered_ms)

    def _disk_ms(self) -> int | None:
        """What this node's disk takes for an answer, or has kept one waiting; None: nobody knows."""
        mean = self._disk_pace.ms
        return None if mean is None else max(mean, self.disk_stalled_ms)

    @property
    def disk_slow(self) -> str:
        """That this node's disk is slow, or ""."""
        ms = self._disk_pace.slow_ms
        return f"{self._place.disk} takes {ms} ms for an answer" if ms else ""

    @property
    def targets_slow(self) -> str:
        """That other nodes' are, though this one's isn't, and what can be done; or ""."""
        tag, here_ms = self._place.tag, self._disk_pace.ms or 0
        return "; ".join(
            f"{node} takes {keeper.slow_ms} ms for an answer, here {here_ms}; without it: "
            f"kage mirror pause {tag} {node}"
            for node, keeper in self.keepers.items()
            if keeper.slow_ms
        )

    @property
    def resync_limit(self) -> int:
        """How much a resync copies in a second at most, in bytes; 0: no limit."""
        asked = self._memory.now.resync_limit
        return self._resync_limit if asked is None else asked

    async def throttle(self) -> None:
        """Tell md; raises OSError."""
        await self._array.set_speed_limit(self.resync_limit or None)

    def details(self) -> list[dict[str, Any]]:
        """The legs, for people."""
        return [keeper.details() for keeper in self.keepers.values()]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self._look()

    async def _try_disk(self) -> None:
        """Read from the disk now and then: a flush that hangs is in none of its counters."""
        while True:
            began = clock_ms()
            while not await self._answers():
                self._unanswered_ms = clock_ms() - began
                await asyncio.sleep(_TRY_S)
            self._unanswered_ms = 0
            await asyncio.sleep(_TRY_S)

    async def _answers(self) -> bool:
        try:
            await self._read_disk(SUPERBLOCK_AT, SUPERBLOCK_BYTES)
        except TimeoutError:
            return False
        except OSError:  # md is told the same, and acts on it
            pass
        return True

    async def _look(self) -> None:
        """At all of it, from sysfs. One look after the other: an older one must not replace a newer one."""
        async with self._looking:
            try:
                state = await self._array.state()
            except OSError as trouble:
                if trouble.errno not in {errno.ENOENT, errno.ENODEV}:  # a leg goes at this moment
                    self._tools.log(f"can't tell how the mirror is: {trouble}")
                return
            if state is None or not state.is_started:
                return  # quick_check tells
            self.state = state
            seen, now = answers(self._disk_name), clock_ms()
            self._disk_stall.look(now, seen)
            self._disk_pace.look(now, seen)
            for keeper in self.keepers.values():
                keeper.look(state)
            self._say()
        self._stir()

    def _say(self) -> None:
        """Which copies are whole now."""
        if self.state is None:
            return
        whole = {keeper.node for keeper in self.keepers.values() if keeper.whole}
        local = self.state.member(self._disk_name)
        if local is not None and not local.faulty and not local.bad_blocks:
            whole.add(self._place.node)
        self._copies.whole(whole)

    async def _keep(self, keeper: Keeper) -> None:
        """Step by step, whenever there is something new."""
        while True:
            stirred = self._stirred
            if await keeper.step():
                await self._look()  # what has come of it
            else:
                await stirred.wait()

    def _stir(self) -> None:
        """There is something new: whoever waits goes on."""
        self._stirred.set()
        self._stirred = asyncio.Event()

    async def _hear(self, dead: DeadLinks) -> None:
        while True:
            try:
                index = await dead.next()
            except NbdError as trouble:
                if trouble.errno != errno.ENOBUFS:
                    raise
                for keeper in self.keepers.values():
                    keeper.link.heard_all = False
                continue
            for keeper in self.keepers.values():
                if keeper.link.index == index:
                    keeper.link.dead = True
            await self._look()
