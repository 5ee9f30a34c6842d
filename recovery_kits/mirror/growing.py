"""Makes a mirror as large as its disks have become, and the filesystem on it.

Keeps: nothing grows while a copy is missing, and the filesystem only after all copies have the new part.
"""

from __future__ import annotations

import asyncio

from recovery_kits.contract import KitError, Run
from recovery_kits.filesystem.mounts import Mount, read_mounts
from recovery_kits.mirror.array import Array, ArrayState
from recovery_kits.mirror.job import Tell
from recovery_kits.mirror.keeper import Keeper
from recovery_kits.mirror.source import Source
from recovery_kits.mirror.sysfs import IDLE, SYS_BLOCK

_LOOK_S = 0.5
_RECONNECT_S = 300.0  # for a leg to be taken back: seconds, unless much is written meanwhile


class Growth:
    """One mirror's, in service here."""

    def __init__(self, tag: str, array: Array, source: Source, run: Run) -> None:
        self._tag, self._array, self._source, self._run = tag, array, source, run

    def require_whole(self) -> None:
        """Raise KitError unless every copy is whole."""
        if lacking := [keeper.node for keeper in self._source.keepers.values() if not keeper.whole]:
            raise self._refusal(f"the copy of {' and '.join(lacking)} isn't whole: a mirror grows with all")

    async def grow(self, tell: Tell) -> str:
        """What came of it; raises KitError, OSError and CommandFailed."""
        before = await self._state()
        for keeper in self._source.keepers.values():
            await self._see_size(keeper)
        self.require_whole()
        await self._array.grow()
        await asyncio.sleep(_LOOK_S)  # md begins a moment later
        while (state := await self._state()).sync_action != IDLE:
            tell(100 * state.part)
            await asyncio.sleep(_LOOK_S)
        self.require_whole()
        if state.size_bytes == before.size_bytes:
            return f"it has {state.size_bytes} bytes as before: enlarge every node's disk first"
        return f"{before.size_bytes} bytes became {state.size_bytes}, {await self._grow_filesystem(state)}"

    async def _see_size(self, keeper: Keeper) -> None:
        """By a new connection: one that stands keeps the size that the disk had."""
        keeper.copy_afresh(full=False)
        try:
            async with asyncio.timeout(_RECONNECT_S):
                while keeper.afresh or not keeper.whole:  # noqa: ASYNC110 (the kernel tells nobody)
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            why = f": {keeper.why}" if keeper.why else ""
            raise self._refusal(f"{keeper.node} wasn't taken back within {_RECONNECT_S:g} s{why}") from None

    async def _grow_filesystem(self, state: ArrayState) -> str:
        mount = await asyncio.to_thread(_mounted, state.name)
        match mount:
            case Mount(type="xfs"):
                await self._run("xfs_growfs", mount.mount_point)
            case Mount(type="ext2" | "ext3" | "ext4"):
                await self._run("resize2fs", f"/dev/{state.name}")
            case _:
                return "and nothing on it was grown: no xfs or ext4 of it is mounted"
        return f"and so did the {mount.type} on {mount.mount_point}"

    async def _state(self) -> ArrayState:
        state = await self._array.state()
        if state is None:
            raise self._refusal("the mirror was stopped meanwhile")
        return state

    def _refusal(self, reason: str) -> KitError:
        return KitError(self._tag, "grow", reason)


def _mounted(device: str) -> Mount | None:
    number = (SYS_BLOCK / device / "dev").read_text().strip()
    return next((mount for mount in read_mounts() if mount.device_number == number), None)
