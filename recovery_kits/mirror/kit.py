"""A block device that is kept the same on several nodes, in service on one.

Invariants:
- nothing is written here before it is agreed that the other nodes' copies don't count, and from then on one
  counts again only when it is whole: what a client was told is on the disk of every node that counts;
- a copy that nothing else keeps up is promoted only if it is whole as far as it says of itself;
- where the mirror is out of service no array runs, and only this node's server writes to its disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recovery_kits.blocking import Blocking
from recovery_kits.contract import Check, CommandFailed, Finding, Kit, NotAgreed, Tools
from recovery_kits.mirror import disk, validation
from recovery_kits.mirror.array import Array, ArrayState
from recovery_kits.mirror.certificates import credentials
from recovery_kits.mirror.control import Controls
from recovery_kits.mirror.creation import Occupied
from recovery_kits.mirror.disk import Disk, Holds
from recovery_kits.mirror.leg import DeviceReader, Leg, read_leg
from recovery_kits.mirror.link import Link
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.owed import Owed
from recovery_kits.mirror.parameters import MirrorParameters
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.recognition import Refused
from recovery_kits.mirror.relay.order import Credentials
from recovery_kits.mirror.relays import Relays
from recovery_kits.mirror.source import HUNG_MS, Source
from recovery_kits.mirror.superblock import NoLeg
from recovery_kits.mirror.target import Target, Unfit
from recovery_kits.mirror.users import users
from recovery_kits.mirror.wishes import Memory

_MODULES = (("md-mod",), ("raid1",), ("nbd", "nbds_max=0"))  # its devices are made as they are needed
_ANSWER_S = 5.0  # for a disk, and sysfs
_STOP_S = 3.0  # for other nodes' disks to take what md writes last


class MirrorKit(Kit[MirrorParameters]):
    """A mirror, e.g. /dev/md/dir1, with a copy on each node's disk."""

    kind = "mirror"
    summary = "a block device with a copy on every node, kept the same while it is in service on one"
    Parameters = MirrorParameters
    replicated = True
    default_check_interval_ms = 2_000

    def __init__(self, parameters: MirrorParameters, tools: Tools) -> None:
        super().__init__(parameters, tools)
        self._place = Place.of(parameters, tools)
        place = self._place
        # Apart: what hangs on the disk must not keep the array from being changed.
        reading = Blocking(f"the disk of {tools.tag}", limit_s=_ANSWER_S)
        self._read = DeviceReader(Path(place.disk), reading)
        changing = Blocking(f"mirror {tools.tag}", limit_s=_ANSWER_S)
        self._array = Array(place.device, place.uuid, place.disk, tools.run, changing)
        self._memory = Memory(tools.site.state_dir / "mirror" / f"{tools.tag}.json")
        self._target = Target(place, self._array, tools, self._look, self._credentials)
        bound = (parameters.lag_most_bytes, parameters.lag_within_ms)
        relayed = parameters.tls or parameters.mode == "async"
        self._relays = Relays(place.runtime, tools.run, self._credentials, bound) if relayed else None
        note = tools.site.state_dir / "mirror" / f"{tools.tag}.owed.json"
        self._owed = Owed(note, place.runtime / ".relay", tools.log)
        self._controls = Controls(
            parameters, place, self._array, tools, self._target, self._memory, self._look
        )

    @classmethod
    def may_lose(cls, parameters: MirrorParameters) -> str:
        """In mode async what was on its way."""
        if parameters.mode == "sync":
            return ""
        most, within_s = parameters.lag_most_bytes, parameters.lag_within_ms / 1_000
        return f"what was answered last is lost: at most {most} bytes, written within {within_s:g} s"

    async def restore(self) -> None:
        """Start the mirror from this node's copy alone; the others are attached by `attend`."""
        with self._errors("restore"):
            state = await self._array.state()
            if state is not None and state.is_started and not state.is_read_only:
                return
            async with self._target.busy:
                await self._load_modules()
                await self._target.end()
                await self._disconnect()
                await self._promote()

    async def remove(self) -> None:
        """Stop the mirror. Other nodes' disks that don't answer are let go of: nobody writes any more."""
        with self._errors("remove"):
            await self._stop(_STOP_S)
            await self._drain()

    async def force_remove(self) -> None:
        """The same, without waiting for the other nodes' disks."""
        with self._errors("force-remove"):
            await self._stop(0)

    async def quick_check(self) -> Check:
        """It runs, and this node's disk takes part and answers; nothing is read but what the kernel says."""
        try:
            state = await self._array.state()
        except OSError as trouble:
            return Check.unknown(f"the kernel doesn't tell: {trouble}")
        if state is None or not state.is_started:
            return Check.failed(f"{self._place.device} doesn't run")
        if state.is_read_only:
            return Check.failed(f"{self._place.device} is read-only")
        if why := self._local_trouble(state):
            return Check.failed(why)
        source = self._controls.source
        slow = "" if source is None else source.disk_slow or source.targets_slow
        return Check.unknown(slow) if slow else Check.ok()

    async def recover(self) -> None:
        """Start it again; with a disk that failed there is nothing to repair here."""
        with self._errors("recover"):
            state = await self._array.state()
        if state is not None and state.is_started and (why := self._local_trouble(state)):
            raise self.error("recover", f"{why}: another node's copy must take over")
        await self.remove()
        await self.restore()

    async def attend(self) -> None:
        """Keep the other nodes' copies whole."""
        await self._memory.load(self.tools.log)
        with self._errors("attend"):
            await self._owed.load((await self._local_leg()).superblock.device_uuid)
        source = Source(
            self._place,
            self._array,
            self.tools,
            self._memory,
            self._read,
            self._local_leg,
            self.parameters.resync_limit,
            self._relays,
            self._owed,
        )
        self._controls.source = source
        with self._errors("attend"):
            await source.attend()

    async def stand_by(self) -> None:
        """Serve this node's copy to the node where the mirror is in service."""
        self._controls.source = None
        with self._errors("stand-by"):
            await self._owed.load()
        self._target.undrained = self._owed.undrained
        await self._target.stand_by()

    def details(self) -> Mapping[str, Any]:
        """See agent.api.mirrors.MirrorDetails."""
        source = self._controls.source
        return {
            "role": "source" if source is not None else "target" if self._target.serving else "none",
            "mode": self.parameters.mode,
            "size_bytes": source.state.size_bytes if source is not None and source.state else None,
            "resync_limit_bytes_per_s": source.resync_limit if source is not None else None,
            "legs": source.details() if source is not None else [],
            "disk": {"path": self._place.disk, **self._disk_details()},
            "job": self._controls.jobs.details(),
        }

    async def control(self, verb: str, arguments: Mapping[str, str]) -> str:
        """See `Controls`."""
        with self._errors(verb):
            return await self._controls.do(verb, arguments)

    async def validate(self) -> list[Finding]:
        """Programs, modules, the disk and who else uses it, the port, mdadm's own assembling."""
        return await validation.findings(self._place, self.tools, self._look)

    async def _promote(self) -> None:
        """Read-only at first: md writes nothing then, so what fails before it is agreed has cost nothing."""
        state = await self._array.state()
        if state is None or not state.is_started:
            found = await self._look()
            if found.holds is not Holds.LEG:
                why = found.why or f"{self._place.disk} is blank"
                raise self.error("restore", f"{why}: see `kage mirror create {self.tools.tag}`")
            await self._array.assemble(read_only=True)
        await self.tools.replicas.agree({self.tools.node})
        await self._owe()
        await self._array.read_write()

    async def _owe(self) -> None:
        """What other targets got from the source before this one may differ from what this one got."""
        if self._place.mode == "async" and len(self._place.peers) > 1:
            await self._owed.load((await self._local_leg()).superblock.device_uuid)
            await self._owed.everything(*self._place.peers)

    async def _load_modules(self) -> None:
        for name, *parameters in _MODULES:
            await self.tools.run("modprobe", name, *parameters)

    async def _stop(self, patience_s: float) -> None:
        state = await self._array.state()
        if state is not None:
            if using := users(state.name):
                raise self.error("remove", f"{self._place.device} is in use: {', '.join(using)}")
            stopping = asyncio.ensure_future(self._array.stop())
            try:
                if patience_s:
                    await asyncio.wait({stopping}, timeout=patience_s)
                if not stopping.done():
                    await self._disconnect()
                await stopping
            finally:
                stopping.cancel()
        self._controls.source = None
        await self._disconnect()

    async def _drain(self) -> None:
        """Nothing is lost in good order: a copy that can't be completed doesn't count any more."""
        await self._owed.load()
        behind = {node for node in self._place.peers if not await self._owed.drained(node)}
        counted = set(self.tools.replicas.in_sync())
        if lacking := sorted(behind & counted):
            self.tools.log(f"{', '.join(lacking)} didn't get what was written last: the copy doesn't count")
            await self.tools.replicas.agree(counted - behind)
        if behind:
            await self._owed.everything(*behind)

    async def _disconnect(self) -> None:
        """Let go of every other node's disk."""
        await asyncio.gather(*(Link(self._place, node).disconnect() for node in self._place.peers))

    def _local_trouble(self, state: ArrayState) -> str:
        """Why this node's disk isn't a copy any more, or ""."""
        path, member = self._place.disk, state.member(self._place.disk_name)
        if member is None or member.faulty:
            return f"{path} has failed, md goes on without it"
        if member.bad_blocks:
            return f"{path} couldn't be written in places"
        source = self._controls.source
        if source is not None and source.disk_stalled_ms >= HUNG_MS:
            return f"{path} has answered nothing for {source.disk_stalled_ms / 1_000:.0f} s"
        return ""

    def _disk_details(self) -> dict[str, str]:
        source = self._controls.source
        if source is not None:
            why = self._local_trouble(source.state) if source.state is not None else ""
            slow = "" if why else source.disk_slow
            return {"state": "failed" if why else "slow" if slow else "ok", "why": why or slow}
        return {"state": "ok" if self._target.serving else self._target.state, "why": self._target.why}

    def _credentials(self) -> Credentials | None:
        """Of the cluster's key as it is now; None: without TLS. Raises NbdError where there is no key."""
        if not self.parameters.tls:
            return None
        if not (secrets := self.tools.secrets(f"mirror {self.tools.tag}")):
            raise NbdError(self.tools.tag, "there is no cluster key here, and so no TLS")
        return credentials(secrets)

    async def _look(self) -> Disk:
        place = self._place
        return await disk.look(place.disk, place.uuid, self._read, self.tools.run)

    async def _local_leg(self) -> Leg:
        """Raises OSError, TimeoutError among them, and Refused."""
        found = await read_leg(self._read)
        if isinstance(found, NoLeg):
            raise Refused(f"this node's own disk: {found.why}")
        if found.superblock.array_uuid != self._place.uuid:
            raise Refused("this node's own disk is a leg of another array")
        return found

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        """What the parts raise, as a KitError."""
        try:
            yield
        except NotAgreed as refusal:
            raise self.error(
                action, f"it couldn't be agreed that this copy alone counts: {refusal}"
            ) from refusal
        except (OSError, CommandFailed, NbdError, Refused, Occupied, Unfit) as trouble:
            raise self.error(action, str(trouble)) from trouble
