"""What would keep an NFS server from being started here, or start another one behind the agent's back."""

from __future__ import annotations

import shutil

from recovery_kits.contract import CommandFailed, Finding, Run
from recovery_kits.nfs.server import CANT_LOOK, Server

_PROGRAMS = ("exportfs", "mount", "modprobe", "nfsdcld", "rpc.mountd", "rpc.nfsd", "unshare")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # most lie where only root looks
_UNIT = "nfs-server.service"


async def findings(server: Server, run: Run) -> list[Finding]:
    """Look at the programs, the kernel's module, systemd's unit, and what runs."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if missing:
        return [
            Finding(f"there is no {', '.join(missing)}", "install nfs-kernel-server (nfs-utils elsewhere)")
        ]
    found = []
    try:
        await run("modprobe", "--dry-run", "nfsd")
    except CommandFailed as problem:
        found.append(Finding(f"the kernel has no module nfsd: {problem}", "install this kernel's modules"))
    if await _starts_by_itself(run):
        found.append(Finding(f"{_UNIT} starts by itself at boot", f"systemctl disable --now {_UNIT}"))
    try:
        standing = await server.look()
    except CANT_LOOK as problem:
        return [*found, Finding(f"the NFS server can't be looked at: {problem}", "see `exportfs -s`")]
    if standing.threads and not standing.ours:
        found.append(Finding("an NFS server runs here that isn't ours", f"systemctl disable --now {_UNIT}"))
    return found


async def _starts_by_itself(run: Run) -> bool:
    try:
        return (await run("systemctl", "is-enabled", "--", _UNIT)).strip().startswith("enabled")
    except (CommandFailed, FileNotFoundError):  # it is disabled or masked, or systemd isn't there
        return False
