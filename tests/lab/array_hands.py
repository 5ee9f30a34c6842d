"""Does in a guest what a test of md arrays asks: `python -m tests.lab.array_hands CALLS`.

CALLS is JSON: {"device": "/dev/md/r0", "disk": "/dev/loop1", "calls": [["create"], ["add", "loop2"]]}.
Prints one line of JSON: for each call {"s": seconds, "answer": …} or {"s": seconds, "error": …}; the first
error ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.runtime.process import Runner
from recovery_kits.blocking import Blocking
from recovery_kits.contract import CommandFailed
from recovery_kits.mirror.array import Array, ArrayState, array_uuid
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import DeviceReader, Leg, read_leg
from recovery_kits.mirror.rejoin import FullCopy, union
from recovery_kits.mirror.superblock import NoLeg

UUID_OF_LAB = array_uuid("lab", "mirror-r0")
CHUNK = 65536
LIMIT_S = 60.0  # the guests are emulated


class Hands:
    """One method for each verb, besides the array's own."""

    def __init__(self, device: str, disk: str) -> None:
        self._device, self._disk = device, disk
        self._blocking = Blocking("lab", limit_s=LIMIT_S)
        self._run = Runner(Path("/run/kagemusha/output"))
        self.array = Array(device, UUID_OF_LAB, disk, self._run, self._blocking)

    async def on(self, disk: str) -> None:
        """From now on this is the node's disk: play another node."""
        self._disk = disk
        self.array = Array(self._device, UUID_OF_LAB, disk, self._run, self._blocking)

    async def write(self, at: int, chunks: int, device: str = "") -> None:
        """Random chunks to the array, or to another device, past the page cache, durable."""
        to = f"of={device or self._device}"
        place = (f"bs={CHUNK}", f"seek={at}", f"count={chunks}", "oflag=direct", "conv=fsync,nocreat,notrunc")
        await self._run("dd", "if=/dev/urandom", to, *place)

    async def shell(self, text: str) -> str:
        """Lines of bash."""
        return await self._run("bash", "-euc", text)

    async def rejoin(self, device: str) -> str | int:
        """Copy what is needed: how many chunks, or why everything."""
        needed = await self.union(f"/dev/{device}")
        if isinstance(needed, FullCopy):
            await self.array.add(device)
            return needed.reason
        await self.array.re_add(device, needed)
        return len(needed)

    async def re_add(self, device: str, ranges: list[list[int]]) -> None:
        """The array's, for these chunks."""
        await self.array.re_add(device, Chunks.of((first, last) for first, last in ranges))

    async def needed(self, device: str) -> str | list[tuple[int, int]]:
        """What `rejoin` would copy."""
        needed = await self.union(device)
        return needed.reason if isinstance(needed, FullCopy) else list(needed.ranges)

    async def union(self, device: str) -> Any:
        running = await self._read(self._disk)
        assert isinstance(running, Leg)
        return union(running, await self._read(device))

    async def idle(self) -> int:
        """Wait until nothing is copied; how many legs are missing then."""
        state = await self._until(self.array.state, is_idle)
        return int(state.degraded)

    async def settled(self, device: str) -> None:
        """Wait until md has cleared this leg's bits."""
        await self._until(lambda: self.leg(device), lambda leg: leg.get("dirty") == ())

    async def differing(self, one: str, other: str, data_at: int) -> list[int]:
        """Chunks of 64 KiB in which two legs differ, read from what is below them."""
        return await asyncio.to_thread(differing, Path(one), Path(other), data_at)

    async def hanging(self, name: str) -> dict[str, Any]:
        """Wait until this leg has writes that it doesn't answer; the array's state then."""
        state: ArrayState = await self._until(self.array.state, lambda state: has_writes(state, name))
        return asdict(state)

    async def leg(self, device: str) -> dict[str, Any]:
        """What a leg knows."""
        found = await self._read(device)
        if isinstance(found, NoLeg):
            return {"no": found.what.value, "why": found.why}
        known = asdict(found.superblock) | {"features": int(found.superblock.features), "why": found.why}
        known |= {"is_recovering": found.superblock.is_recovering}
        if found.bitmap is not None:
            known |= {"dirty": found.bitmap.dirty.ranges, "bitmap": asdict(found.bitmap.header)}
        return known

    async def _until(self, look: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
        """What was seen when it held; whoever calls limits the time."""
        while not holds(seen := await look()):  # noqa: ASYNC110 (the kernel tells nobody)
            await asyncio.sleep(0.1)
        return seen

    async def _read(self, device: str) -> Leg | NoLeg:
        return await read_leg(DeviceReader(Path(device), self._blocking))

    async def state(self) -> dict[str, Any] | None:
        found = await self.array.state()
        return asdict(found) if found else None


def differing(one: Path, other: Path, data_at: int) -> list[int]:
    """See `Hands.differing`."""
    with one.open("rb") as first, other.open("rb") as second:
        first.seek(data_at)
        second.seek(data_at)
        pairs = enumerate(iter(lambda: (first.read(CHUNK), second.read(CHUNK)), (b"", b"")))
        return [number for number, (mine, theirs) in pairs if mine != theirs]


def has_writes(state: ArrayState, name: str) -> bool:
    """Some are outstanding on that leg."""
    member = state.member(name)
    return member is not None and member.in_flight.writes > 0


def is_idle(state: ArrayState) -> bool:
    """Nothing is copied or compared, no leg waits for it, and md has counted those that are missing."""
    in_sync = sum(member.in_sync for member in state.members)
    counted = state.degraded == state.raid_disks - in_sync  # a copied leg is in sync a moment before
    return state.sync_action == "idle" and counted and not any(m.is_recovering for m in state.members)


async def main(text: str) -> None:
    """Do it."""
    wanted = json.loads(text)
    calls = wanted.pop("calls")
    hands, done = Hands(**wanted), list[dict[str, Any]]()
    for verb, *arguments in calls:
        began = time.monotonic()
        what = getattr(hands, verb, None) or getattr(hands.array, verb)
        try:
            async with asyncio.timeout(LIMIT_S):
                answer = {"answer": await what(*arguments)}
        except (OSError, CommandFailed) as error:
            answer = {"error": str(error)}
        done.append({"verb": verb, "s": round(time.monotonic() - began, 2), **answer})
        if "error" in answer:
            break
    print(json.dumps(done, default=str))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
