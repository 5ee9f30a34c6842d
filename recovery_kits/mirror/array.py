"""One mirror's md array on this node: this node's leg, and the others' behind nbd devices.

Invariants:
- nothing is assembled by scanning: a device and the array's uuid are always given, and what is on the
  device is looked at first;
- a returning leg is added only while md may not copy, after the bits of all that it needs are set in the
  running bitmap and were read back from the disk: md looks at its own bits once, when the copy begins;
- before a leg is copied to in full the array gets a new bitmap, so that no older leg is ever taken for
  one that this bitmap still describes (see rejoin.py);
- every method is idempotent and may be cut short.

All methods raise OSError, with a strerror, when the kernel or a disk refuses or doesn't answer, and
CommandFailed when mdadm fails. Other nodes' legs are named by their block devices: "nbd0".
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid5

from recovery_kits.blocking import Blocking
from recovery_kits.contract import Run
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import DeviceReader, Leg, read_leg
from recovery_kits.mirror.superblock import Feature, Instead, NoLeg
from recovery_kits.mirror.sysfs import (
    CHECK,
    FROZEN,
    IDLE,
    SYS_BLOCK,
    WRITE_LIMIT,
    ArrayState,
    MemberState,
    find,
    read_state,
)

__all__ = ["Array", "ArrayState", "MemberState", "array_uuid"]

_OURS = UUID("a3b5f0a4-6d0c-5d0e-8c55-6e1d5b9a2f10")
_MDADM = {"MDADM_NO_UDEV": "1"}
_NO_CONFIG = "--config=none"
_NAME_LIMIT = 32  # bytes, of md's
_BUSY_TRIES, _BUSY_PAUSE_S = 50, 0.1
_RENEWALS = 3
_LOOK_S = 10.0  # it takes milliseconds


def array_uuid(cluster: str, tag: str) -> UUID:
    """The uuid of a mirror's array: the same on all nodes, another for every mirror."""
    return uuid5(_OURS, f"{cluster}/{tag}")


class Array:
    """The array of one mirror, which may run or not."""

    def __init__(
        self, device: str, uuid: UUID, disk: str, run: Run, blocking: Blocking, sys_block: Path = SYS_BLOCK
    ) -> None:
        """`device` is what it appears as, "/dev/md/r0"; `disk` is this node's leg.

        `blocking` is for what a disk can hold up: changes, too. The state is told beside it.
        """
        self.device, self.uuid, self.disk = device, uuid, disk
        self._run, self._blocking, self._sys_block = run, blocking, sys_block
        self._looking = Blocking(f"{device} in sysfs", limit_s=_LOOK_S)

    async def state(self) -> ArrayState | None:
        """What the kernel says; None when it doesn't run. Never touches a disk."""
        return await self._looking.do(self._read)

    def size_bytes(self) -> int:
        """Of the running array; what a full copy copies."""
        return self._running().size_bytes

    def chunk_bytes(self) -> int:
        """Of the running array's bitmap."""
        return int((self._folder() / "bitmap/chunksize").read_text())

    async def create(self, *, raid_disks: int = 2, chunk_bytes: int = 65536) -> None:
        """Make it with this node's leg alone, which must be blank; the others are missing."""
        if await self._is_started():
            return
        found = await self._look(Path(self.disk))
        if isinstance(found, Leg) and found.superblock.array_uuid == self.uuid:
            await self.assemble()
            return
        if not (isinstance(found, NoLeg) and found.what is Instead.BLANK):
            why = found.why if isinstance(found, NoLeg) else f"a leg of array {found.superblock.array_uuid}"
            raise self._refusal(f"{self.disk} isn't blank: {why}")
        name = Path(self.device).name.encode()[:_NAME_LIMIT].decode(errors="ignore")
        options = ("--level=1", "--metadata=1.2", f"--raid-devices={raid_disks}", "--assume-clean")
        bitmap = ("--bitmap=internal", f"--bitmap-chunk={chunk_bytes // 1024}K")
        identity = (f"--uuid={self.uuid}", f"--name={name}", "--homehost=<none>")
        legs = (self.disk, *["missing"] * (raid_disks - 1))
        await self._mdadm("--create", self.device, _NO_CONFIG, "--run", *options, *bitmap, *identity, *legs)

    async def assemble(self, *, read_only: bool = False) -> None:
        """Start it with this node's leg alone, which reads come from then.

        Read-only it leaves no trace on the leg, until `read_write`; one that runs already stays as it is.
        """
        if not await self._is_started():
            await self.stop()  # what was begun and not started
            await self._require_bearing()
            how = ("--readonly",) if read_only else ()
            identity = (f"--uuid={self.uuid}", "--run", *how)
            await self._mdadm("--assemble", self.device, _NO_CONFIG, *identity, self.disk)
        if not read_only:
            await self.read_write()

    async def read_write(self) -> None:
        """Let the running array be written."""
        state = await self._looking.do(self._running)
        if state.is_read_only:
            await self._mdadm("--readwrite", f"/dev/{state.name}")
        await self._write(f"dev-{_name(self.disk)}/state", "-writemostly")

    async def stop(self) -> None:
        """It doesn't run when this returns. Fails while somebody uses it."""
        if (state := await self.state()) is not None:
            await self._mdadm("--stop", f"/dev/{state.name}")

    async def re_add(self, device: str, chunks: Chunks) -> None:
        """Take a leg back and copy these chunks to it; returns when the copy begins."""
        if await self._is_member(device):
            return
        async with self._frozen():
            for words in chunks.words(WRITE_LIMIT - 1):
                await self._write("bitmap_set_bits", words)
            await self._require_dirty(chunks)
            await self._manage("--re-add", "--write-mostly", f"/dev/{device}")

    async def add(self, device: str) -> None:
        """Copy everything to a leg; returns when the copy begins."""
        if await self._is_member(device):
            return
        await self._renew_bitmap()
        if isinstance(await self._look(Path("/dev") / device), Leg):
            await self._mdadm("--zero-superblock", f"/dev/{device}")
        async with self._frozen():
            await self._manage("--add", f"/dev/{device}")
            # not by mdadm: 4.2 marks a leg that it adds with --write-mostly as faulty in its superblock
            await self._write(f"dev-{device}/state", "writemostly")

    async def share_bitmap(self, device: str) -> None:
        """Return once a leg's disk notes all that absent legs lack; until then md may have it in memory only.

        md marks every page of the bitmap for writing when it begins to copy to a leg, and writes them
        some seconds later, or with the next bits that are set. A copy can be whole before that.
        """
        state, local = await self._looking.do(self._running), await self._local()
        if not state.degraded:
            return
        if local.bitmap is None:
            raise self._refusal(f"{self.disk}: {local.why}")
        if local.bitmap.dirty:
            await self._write("bitmap_set_bits", str(local.bitmap.dirty.ranges[0][0]))
        leg = await self._look(Path("/dev") / device)
        if leg.why or not isinstance(leg, Leg) or leg.bitmap is None:
            raise self._refusal(f"{device}: {leg.why}")
        if missing := local.bitmap.dirty - leg.bitmap.dirty:
            raise self._refusal(f"{device} hasn't noted {len(missing)} chunks yet that another leg lacks")

    async def fail(self, device: str) -> None:
        """Go on without a leg. What waits for it does so until its connection is cut as well."""
        member = await self._member(device)
        if member is not None and not member.faulty:
            await self._write(f"dev-{device}/state", "faulty")

    async def remove(self, device: str) -> None:
        """Let go of a failed leg, once what was outstanding has come back."""
        for _ in range(_BUSY_TRIES):
            if await self._member(device) is None:
                return
            try:
                await self._write(f"dev-{device}/state", "remove")
            except OSError as problem:
                if problem.errno not in {errno.EBUSY, errno.ENOENT, errno.ENODEV}:
                    raise
                await asyncio.sleep(_BUSY_PAUSE_S)
        raise self._refusal(f"{device} is still busy")

    async def freeze(self) -> None:
        """Stop copying, and begin none."""
        await self._write("sync_action", FROZEN)

    async def thaw(self) -> None:
        """Copy what there is to copy."""
        state = await self.state()
        if state is not None and state.sync_action == FROZEN:
            await self._write("sync_action", IDLE)

    async def verify(self) -> None:
        """Begin to compare the legs; the result is `mismatch_bytes` of the state, once it is idle."""
        state = await self.state()
        if state is None or state.sync_action != CHECK:
            await self._write("sync_action", CHECK)

    async def set_speed_limit(self, limit_bytes_per_s: int | None) -> None:
        """How quick copying may be; None: the system's own limit."""
        await self._write("sync_speed_max", str(limit_bytes_per_s // 1024) if limit_bytes_per_s else "system")

    async def grow(self) -> None:
        """Use all that the smallest leg has; what is new is copied."""
        state = await self._looking.do(self._running)
        await self._mdadm("--grow", f"/dev/{state.name}", "--size=max")

    async def make_room(self, legs: int) -> None:
        """Places for that many legs; fails while more take part, or one is copied to."""
        state = await self._looking.do(self._running)
        if state.raid_disks != legs:
            await self._write("raid_disks", str(legs))

    async def _renew_bitmap(self) -> None:
        """All dirty, and cleared later than any leg can remember.

        By two events at least: legs may differ by one for being idle.
        """
        state, first = await self._looking.do(self._running), await self._local()
        chunk = f"--bitmap-chunk={first.bitmap.header.chunk_bytes // 1024 if first.bitmap else 64}K"
        leg = first
        for _ in range(_RENEWALS):
            if Feature.BITMAP in leg.superblock.features:
                await self._mdadm("--grow", f"/dev/{state.name}", "--bitmap=none")
            await self._mdadm("--grow", f"/dev/{state.name}", "--bitmap=internal", chunk)
            leg = await self._local()
            if leg.bitmap and leg.bitmap.header.events_cleared >= first.superblock.events + 2:
                return
        raise self._refusal("its bitmap couldn't be renewed")

    async def _require_bearing(self) -> None:
        """A leg that may carry the array alone."""
        leg = (await self._local()).superblock
        if leg.slot is None:
            raise self._refusal(f"{self.disk} has no place in it")
        if leg.is_recovering:
            raise self._refusal(f"{self.disk} holds a mixture: a copy onto it was never finished")

    async def _require_dirty(self, chunks: Chunks) -> None:
        """The kernel doesn't say when it doesn't understand; the disk does."""
        leg = await self._local()
        if leg.bitmap is None:
            raise self._refusal(f"{self.disk}: {leg.why}")
        if missing := chunks - leg.bitmap.dirty:
            raise self._refusal(f"{len(missing)} of {len(chunks)} chunks weren't marked")

    async def _local(self) -> Leg:
        found = await self._look(Path(self.disk))
        if isinstance(found, NoLeg):
            raise self._refusal(f"{self.disk}: {found.why}")
        if found.superblock.array_uuid != self.uuid:
            raise self._refusal(f"{self.disk} is a leg of array {found.superblock.array_uuid}")
        return found

    async def _look(self, device: Path) -> Leg | NoLeg:
        return await read_leg(DeviceReader(device, self._blocking))

    async def _is_started(self) -> bool:
        state = await self.state()
        return state is not None and state.is_started

    async def _is_member(self, device: str) -> bool:
        """In the array and not failed; a failed one is removed first."""
        member = await self._member(device)
        if member is not None and member.faulty:
            await self.remove(device)
            return False
        return member is not None

    async def _member(self, device: str) -> MemberState | None:
        state = await self.state()
        return state.member(device) if state else None

    @asynccontextmanager
    async def _frozen(self) -> AsyncIterator[None]:
        await self.freeze()
        try:
            yield
        finally:
            await self.thaw()

    def _read(self) -> ArrayState | None:
        block = find(self.uuid, self._sys_block)
        return None if block is None else read_state(block)

    def _running(self) -> ArrayState:
        if (state := self._read()) is None:
            raise self._refusal("it doesn't run")
        return state

    def _folder(self) -> Path:
        if (block := find(self.uuid, self._sys_block)) is None:
            raise self._refusal("it doesn't run")
        return block / "md"

    async def _write(self, attribute: str, words: str) -> None:
        await self._blocking.do(lambda: _write(self._folder() / attribute, words))

    async def _manage(self, *argv: str) -> None:
        state = await self._looking.do(self._running)
        await self._mdadm("--manage", f"/dev/{state.name}", *argv)

    async def _mdadm(self, *argv: str) -> None:
        await self._run("mdadm", *argv, env=_MDADM)

    def _refusal(self, why: str) -> OSError:
        return OSError(errno.EIO, f"{self.device}: {why}")


def _name(device: str) -> str:
    """Of the block device, whatever links lead to it."""
    return Path(os.path.realpath(device)).name


def _write(attribute: Path, words: str) -> None:
    assert len(words) < WRITE_LIMIT
    descriptor = os.open(attribute, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, words.encode())
    finally:
        os.close(descriptor)
