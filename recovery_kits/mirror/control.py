"""What an operator may ask of a mirror on one node.

Keeps: what lasts longer than an operator waits is a job, and the answer says that it has begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from recovery_kits.contract import KitError, Tools
from recovery_kits.mirror import creation
from recovery_kits.mirror.array import Array
from recovery_kits.mirror.creation import FILESYSTEMS, require_blank, require_unused
from recovery_kits.mirror.disk import Disk, Holds
from recovery_kits.mirror.growing import Growth
from recovery_kits.mirror.job import Jobs, Tell
from recovery_kits.mirror.keeper import Keeper
from recovery_kits.mirror.legs import Member
from recovery_kits.mirror.parameters import MirrorParameters
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.source import Source
from recovery_kits.mirror.target import Target
from recovery_kits.mirror.wishes import Memory

_LOOK_S = 1.0
Arguments = Mapping[str, str]


class Controls:
    """The verbs. `source` is the mirror where it is in service here, else None."""

    def __init__(
        self,
        parameters: MirrorParameters,
        place: Place,
        array: Array,
        tools: Tools,
        target: Target,
        memory: Memory,
        look: Callable[[], Awaitable[Disk]],
    ) -> None:
        self._parameters, self._place, self._array, self._tools = parameters, place, array, tools
        self._target, self._memory, self._look = target, memory, look
        self.source: Source | None = None
        self.jobs = Jobs(tools.log)
        self._verbs: Mapping[str, Callable[[Arguments], Awaitable[str]]] = {
            "create": self._create,
            "wipe": self._wipe,
            "pause": self._pause,
            "resume": self._resume,
            "resync": self._resync,
            "full-resync": self._full_resync,
            "verify": self._verify,
            "grow": self._grow,
            "throttle": self._throttle,
        }

    async def do(self, verb: str, arguments: Arguments) -> str:
        """Do it and say what was done; raises KitError, and what the parts raise."""
        if verb not in self._verbs:
            raise self._refusal(verb, f"a mirror knows {', '.join(self._verbs)}")
        return await self._verbs[verb](arguments)

    async def _create(self, arguments: Arguments) -> str:
        filesystem, overwrite = arguments.get("mkfs"), arguments.get("overwrite") == "yes"
        if filesystem is not None and filesystem not in FILESYSTEMS:
            raise self._refusal("create", f"mkfs makes {' or '.join(FILESYSTEMS)}, not {filesystem}")
        if counted := self._tools.replicas.in_sync():
            raise self._refusal("create", f"the copy of {', '.join(counted)} counts already")
        if not self._place.peers:
            raise self._refusal("create", "a mirror needs another node: name two in `nodes`")
        disk = await self._require_idle("create")
        require_blank(self._place, disk, overwrite=overwrite)

        async def work(_tell: Tell) -> str:
            async with self._target.busy:
                await self._target.end()
                if disk.holds is not Holds.BLANK:
                    await creation.erase(self._place.disk, self._tools.run)
                return await creation.create(
                    self._array,
                    self._place,
                    chunk_kib=self._parameters.bitmap_chunk_kib,
                    filesystem=filesystem,
                    run=self._tools.run,
                )

        return self._begin("create", work, f"{self._place.disk} is being made the first copy")

    async def _wipe(self, _arguments: Arguments) -> str:
        if self._tools.node in self._tools.replicas.in_sync():
            raise self._refusal(
                "wipe", "this node's copy counts; where another does, too, pause this one first"
            )
        await self._require_idle("wipe")

        async def work(_tell: Tell) -> str:
            async with self._target.busy:
                await self._target.end()
                await creation.erase(self._place.disk, self._tools.run)
            return f"{self._place.disk} is blank"

        return self._begin("wipe", work, f"{self._place.disk} is being made blank")

    async def _require_idle(self, verb: str) -> Disk:
        if self.jobs.running:
            raise self._refusal(verb, f"{self.jobs.running} is still under way")
        if await self._array.state() is not None:
            raise self._refusal(verb, "the mirror is in service here: take it out of service first")
        require_unused(self._place)
        return await self._look()

    async def _pause(self, arguments: Arguments) -> str:
        source, keeper = self._keeper("pause", arguments)
        await self._memory.pause(keeper.node, paused=True)
        source.obey()
        return f"nothing is copied to {keeper.node} until it is resumed; its copy stops counting"

    async def _resume(self, arguments: Arguments) -> str:
        source, keeper = self._keeper("resume", arguments)
        await self._memory.pause(keeper.node, paused=False)
        source.obey()
        keeper.try_now()
        return f"{keeper.node} gets what it lacks"

    async def _resync(self, arguments: Arguments) -> str:
        return self._afresh("resync", arguments, full=False)

    async def _full_resync(self, arguments: Arguments) -> str:
        return self._afresh("full-resync", arguments, full=True)

    def _afresh(self, verb: str, arguments: Arguments, *, full: bool) -> str:
        _, keeper = self._keeper(verb, arguments)
        if keeper.paused:
            raise self._refusal(verb, f"{keeper.node} is paused: resume it first")
        keeper.copy_afresh(full=full)
        what = "everything" if full else "what may differ"
        return f"{keeper.node} is detached, and gets {what} anew; its copy counts again when that is done"

    async def _verify(self, _arguments: Arguments) -> str:
        source = self._require_source("verify")
        if copying := [each.node for each in source.keepers.values() if each.member is Member.COPYING]:
            raise self._refusal("verify", f"{copying[0]} is being copied to: ask again when that is done")
        lacking = [keeper.node for keeper in source.keepers.values() if not keeper.whole]
        if len(lacking) == len(source.keepers):
            raise self._refusal("verify", f"there is no whole copy to compare with: {', '.join(lacking)}")

        async def work(tell: Tell) -> str:
            await self._array.verify()
            while (state := await self._array.state()) is not None and state.sync_action == "check":
                if state.sync_done_bytes is not None and state.sync_total_bytes:
                    tell(100 * state.sync_done_bytes / state.sync_total_bytes)
                await asyncio.sleep(_LOOK_S)
            if state is None or state.last_sync_action != "check":
                raise self._refusal("verify", "it was interrupted; ask again")
            if differ := state.mismatch_bytes:
                remedy = "`full-resync` a node makes its copy anew"
                raise self._refusal("verify", f"about {differ} bytes differ; {remedy}")
            return "the copies are the same"

        return self._begin("verify", work, "the copies are being compared")

    async def _grow(self, _arguments: Arguments) -> str:
        source = self._require_source("grow")
        growth = Growth(self._tools.tag, self._array, source, self._tools.run)
        growth.require_whole()
        return self._begin("grow", growth.grow, "the mirror and its filesystem grow as far as the disks do")

    async def _throttle(self, arguments: Arguments) -> str:
        source, said = self._require_source("throttle"), arguments.get("bytes_per_s", "")
        if not said.isdecimal():
            raise self._refusal("throttle", f"bytes_per_s is a whole number, 0 for no limit, not {said!r}")
        await self._memory.limit(int(said))
        await source.throttle()
        return f"a resync copies at most {said} bytes a second" if int(said) else "a resync has no limit"

    def _begin(self, verb: str, work: Callable[[Tell], Awaitable[str]], text: str) -> str:
        if self.jobs.running:
            raise self._refusal(verb, f"{self.jobs.running} is still under way")
        self.jobs.begin(verb, work)
        return f"{text}; the status tells how it ends"

    def _keeper(self, verb: str, arguments: Arguments) -> tuple[Source, Keeper]:
        source, node = self._require_source(verb), arguments.get("node", "")
        if node not in source.keepers:
            raise self._refusal(verb, f"name one of {', '.join(source.keepers)}, not {node or 'nothing'}")
        return source, source.keepers[node]

    def _require_source(self, verb: str) -> Source:
        if self.source is None:
            raise self._refusal(verb, "the mirror isn't in service here: ask where it is")
        return self.source

    def _refusal(self, verb: str, reason: str) -> KitError:
        return KitError(self._tools.tag, verb, reason)
