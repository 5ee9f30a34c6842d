"""Exports of a protected filesystem by the kernel's NFS server, with what lets clients get their locks back.

Invariants:
- a client finds on another node what it had: the same file handles (a fixed fsid), the same server (its scope
  and owner follow from the tag), and a server that knows from the protected filesystem who may reclaim locks;
- `remove` returns only when no thread of the server is left and the kernel holds nothing of the filesystem;
- a server that isn't ours is neither used nor stopped.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, ClassVar

from recovery_kits.contract import Check, CommandFailed, Finding, Kit, Tools
from recovery_kits.nfs.call import PORT, null_call
from recovery_kits.nfs.parameters import NfsParameters
from recovery_kits.nfs.server import CANT_LOOK, Server, Standing
from recovery_kits.nfs.validation import findings

_STARTS = 3  # the kernel waits a second for nfsdcld, which may be too short on a busy machine
_LOOPBACK = "127.0.0.1"


class NfsKit(Kit[NfsParameters]):
    """Exports, e.g. /mnt/DIR1/share to 10.0.0.0/16."""

    kind = "nfs"
    summary = "NFS 4.1 and 4.2 exports of a protected filesystem, whose clients keep their files and locks"
    Parameters: ClassVar[type[Any]] = NfsParameters

    def __init__(self, parameters: NfsParameters, tools: Tools) -> None:
        super().__init__(parameters, tools)
        self._server = Server(parameters, tools)

    async def restore(self) -> None:
        """Export and serve; what of it is there already stays as it is."""
        standing = await self._standing("restore")
        if standing.threads and not standing.ours:
            raise self.error("restore", "an NFS server runs here that isn't ours: stop and disable it")
        if path := self._server.unmounted():
            raise self.error("restore", f"{path} is on the root filesystem: nothing is mounted for it")
        await self._do("restore", self._server.prepare())
        if not standing.tracker:
            await self._do("restore", self._server.start_tracker())
        fresh = not standing.threads
        exports = self.parameters.each_export() if fresh else standing.missing
        await self._do("restore", self._server.export(exports, alone=fresh))
        if not standing.mountd:
            await self._do("restore", self._server.start_mountd())
        if fresh:
            await self._serve()
        if trouble := (await self._standing("restore")).trouble:
            raise self.error("restore", f"all was started, yet {trouble}")

    async def remove(self) -> None:
        """Stop to serve, forget the filesystem, end the daemons; needs no network."""
        standing = await self._standing("remove")
        if not standing.ours:
            return
        await self._do("remove", self._server.stop_threads())
        await self._do("remove", self._server.unexport())
        await self._do("remove", self._server.end_daemons())
        standing = await self._standing("remove")
        if standing.threads or standing.ours:
            raise self.error("remove", "it was stopped and is there again: who else starts it?")

    async def quick_check(self) -> Check:
        """Both daemons and every export are there, and the server answers a call.

        Waits for that as long as it takes: the agent's time limit is what tells a hang.
        """
        try:
            standing = await self._server.look()
        except CANT_LOOK as problem:
            return Check.unknown(f"the NFS server can't be looked at: {problem}")
        if standing.trouble:
            return Check.failed(standing.trouble)
        try:
            await null_call(_LOOPBACK)
        except (OSError, ValueError) as problem:
            return Check.failed(f"port {PORT} doesn't answer: {problem}")
        return Check.ok()

    async def recover(self) -> None:
        """Start what is missing, which clients don't notice; if that isn't enough, everything anew."""
        if (await self._standing("recover")).threads:
            await self.restore()
            if await self.quick_check() == Check.ok():
                return
        await super().recover()

    async def validate(self) -> list[Finding]:
        """The programs, the kernel's module, and no server of the machine's own."""
        return await findings(self._server, self.tools.run)

    async def _serve(self) -> None:
        for _ in range(_STARTS):
            if await self._do("restore", self._server.start_threads()):
                return
            await self._do("restore", self._server.stop_threads())
        raise self.error(
            "restore", "the kernel doesn't find nfsdcld (Linux 5.2 and later do), see its messages"
        )

    async def _standing(self, action: str) -> Standing:
        try:
            return await self._server.look()
        except CANT_LOOK as problem:
            raise self.error(action, f"the NFS server can't be looked at: {problem}") from problem

    async def _do(self, action: str, step: Awaitable[bool | None]) -> bool | None:
        try:
            return await step
        except (CommandFailed, OSError) as problem:
            raise self.error(action, str(problem)) from problem
