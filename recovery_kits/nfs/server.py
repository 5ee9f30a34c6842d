"""The kernel's NFS server and its two daemons: what of them is here, and each step of starting and ending it.

Invariants:
- the agent's own process never reads below /proc/fs/nfsd, nor on the protected filesystem: both can hang,
  so commands do, which are left behind;
- a server counts as ours when its nfsdcld keeps its state where ours does, or when one of our exports is in
  its list; any other server is left alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from recovery_kits import processes
from recovery_kits.contract import CommandFailed, Tools
from recovery_kits.filesystem.mounts import Mount, read_mounts
from recovery_kits.nfs.parameters import Export, NfsParameters
from recovery_kits.processes import Process

NFSD = "/proc/fs/nfsd"
END_LIMIT_S = 5.0  # for a killed daemon to be gone
# NFS 3 would need rpcbind, statd and lockd's state as well for locks that survive a failover. A client of 4.0
# lost its lock in the lab at the second of two failovers.
NOT_3 = ("--no-nfs-version", "3")
ONLY_SESSIONS = (*NOT_3, "--no-nfs-version", "4.0")  # NFS 4.1 and later
MOUNTD = ("rpc.mountd", "--no-nfs-version", "2", *NOT_3)  # else it would listen, and want rpcbind
_PIPES = "/run/rpc_pipefs"  # where nobody has mounted it elsewhere
_HOST_NAME = 'printf %s "$0" >/proc/sys/kernel/hostname && exec "$@"'
_LONGEST_NAME = 64  # of a UTS namespace, and so of a scope
_EXPORTED = re.compile(r"(\S+)\s+(\S+)\(")  # a line of `exportfs -s`


@dataclass(frozen=True)
class Standing:
    """What there is of a server on this machine."""

    threads: int  # 0: no server runs
    tracker: bool  # our nfsdcld is there
    mountd: bool  # an rpc.mountd as we start it is there
    missing: tuple[Export, ...]  # of our exports
    exported: bool  # at least one of them is there

    @property
    def ours(self) -> bool:
        """Something of this resource is active."""
        return self.tracker or self.exported

    @property
    def trouble(self) -> str:
        """Why it doesn't serve as it should, or ""."""
        if not self.threads:
            return "no NFS server runs here"
        if not self.tracker:
            return "nfsdcld doesn't run: clients would not get their locks back on another node"
        if not self.mountd:
            return "rpc.mountd doesn't run"
        if self.missing:
            return f"not exported: {', '.join(each.argument for each in self.missing)}"
        return ""


class Server:
    """The one NFS server of this machine. Its steps raise CommandFailed and OSError."""

    def __init__(self, parameters: NfsParameters, tools: Tools) -> None:
        self._parameters, self._run, self._log = parameters, tools.run, tools.log
        self._exports = parameters.each_export()
        # Clients of NFS 4.1 take two servers for one exactly if they call themselves the same.
        self._scope = f"{tools.tag}.{tools.site.cluster}"[:_LONGEST_NAME]
        # One thread, so that what was cut short is over before the next action begins.
        self._thread = ThreadPoolExecutor(1, "nfs")

    async def look(self) -> Standing:
        """What there is; changes nothing."""
        listed = set(_EXPORTED.findall(await self._run("exportfs", "-s")))
        missing = tuple(each for each in self._exports if (each.path, each.client) not in listed)
        return Standing(
            threads=await self._threads(),
            tracker=await self._runs("nfsdcld", self._is_tracker),
            mountd=await self._runs("rpc.mountd", _is_mountd),
            missing=missing,
            exported=len(missing) < len(self._exports),
        )

    def unmounted(self) -> str:
        """A path of ours that lies on the root filesystem, since its own isn't mounted; or ""."""
        mounts = read_mounts()
        for path in (str(self._parameters.state), *(each.path for each in self._exports)):
            around = [mount.mount_point for mount in mounts if mount.covers(path)]
            if max(around, key=len, default="/") == "/":
                return path
        return ""

    async def prepare(self) -> None:
        """Have the kernel's part, and the directories: a filesystem that was just made has none."""
        if _mount_of("nfsd") is None:
            await self._run("modprobe", "nfsd")
            if _mount_of("nfsd") is None:  # systemd may have mounted it at once
                await self._run("mount", "-t", "nfsd", "nfsd", NFSD)
        if _mount_of("rpc_pipefs") is None:
            await self._run("mkdir", "-p", _PIPES)
            await self._run("mount", "-t", "rpc_pipefs", "rpc_pipefs", _PIPES)
        await self._run("mkdir", "-p", "-m", "700", str(self._parameters.state))
        await self._run("mkdir", "-p", *dict.fromkeys(each.path for each in self._exports))

    async def start_tracker(self) -> None:
        """Start nfsdcld, which keeps on the protected filesystem what the server must know of its clients."""
        pipes = _mount_of("rpc_pipefs")
        at = pipes.mount_point if pipes is not None else _PIPES
        await self._run("nfsdcld", "-p", at, "-s", str(self._parameters.state), log=self._log)

    async def start_mountd(self) -> None:
        """Start rpc.mountd, which tells the kernel what is exported to whom."""
        await self._run(*MOUNTD, log=self._log)

    async def export(self, exports: Sequence[Export], *, alone: bool) -> None:
        """Export these; `alone`: and nothing else that an earlier server has left in the list."""
        if alone:
            await self._run("exportfs", "-au")
        for each in exports:
            await self._run("exportfs", "-i", "-o", each.options, each.argument, log=self._log)

    async def start_threads(self) -> bool:
        """Start to serve, under a name that is the same on every node; whether the clients are tracked."""
        seconds = (self._parameters.lease_ms // 1_000, self._parameters.grace_ms // 1_000)
        times = ("--lease-time", str(seconds[0]), "--grace-time", str(seconds[1]))
        serve = ("rpc.nfsd", *ONLY_SESSIONS, *times, str(self._parameters.threads))
        await self._run("unshare", "--uts", "--", "sh", "-c", _HOST_NAME, self._scope, *serve, log=self._log)
        return _is_tracking()

    async def stop_threads(self) -> None:
        """End every connection and all that the server holds; over when this returns."""
        if _mount_of("nfsd") is not None:
            await self._run("rpc.nfsd", "0", log=self._log)

    async def unexport(self) -> None:
        """Export nothing, and let the kernel forget what it holds of the filesystem for that."""
        await self._run("exportfs", "-au", log=self._log)
        if _mount_of("nfsd") is not None:
            await self._run("exportfs", "-f", log=self._log)

    async def end_daemons(self) -> None:
        """End both, nfsdcld last: by it a server is known as ours."""
        await self._in_thread(partial(processes.end, "rpc.mountd", _is_mountd, END_LIMIT_S))
        await self._in_thread(partial(processes.end, "nfsdcld", self._is_tracker, END_LIMIT_S))

    async def _threads(self) -> int:
        if _mount_of("nfsd") is None:
            return 0
        return int(await self._run("cat", f"{NFSD}/threads"))

    async def _runs(self, name: str, fits: processes.Fits) -> bool:
        loop = asyncio.get_running_loop()
        return bool(await loop.run_in_executor(self._thread, processes.running, name, fits))

    async def _in_thread(self, work: partial[None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _is_tracker(self, process: Process) -> bool:
        return process.argv[-2:] == ("-s", str(self._parameters.state))


def _is_mountd(process: Process) -> bool:
    return process.argv == MOUNTD


def _is_tracking() -> bool:
    """The kernel makes a pipe when it begins to serve, and takes it away when nfsdcld doesn't open it."""
    pipes = _mount_of("rpc_pipefs")
    return pipes is not None and Path(pipes.mount_point, "nfsd/cld").exists()


def _mount_of(type_: str) -> Mount | None:
    """Where a filesystem of the kernel's is mounted that there is only one of."""
    return next((mount for mount in read_mounts() if mount.type == type_), None)


CANT_LOOK = (CommandFailed, OSError, ValueError)  # what `look` raises
