"""Unmounts, if need be by ending the processes that keep a mount busy, and proves that it is over.

Everything that touches the filesystem or the device runs in a process of its own, which can be left
behind when the disk doesn't answer.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from recovery_kits.contract import CommandFailed, Tools
from recovery_kits.filesystem.mounts import on_top, read_mounts

_RETRY_S = 0.1
_IMPORT_ROOT = str(Path(__file__).parents[2])  # works from a source tree, too
_CLAIM = """
import os, sys
try:
    os.close(os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL))
except FileNotFoundError:
    pass
except OSError as problem:
    sys.exit(problem.strerror)
"""


class Busy(Exception):
    """It can't be unmounted, and what the last try said."""


async def unmount(
    mount_point: str, tools: Tools, *, signals: tuple[signal.Signals, ...], grace_s: float
) -> None:
    """Unmount what is on top at a mount point; each signal goes to its holders, who then have `grace_s`.

    Raises Busy.
    """
    problem = await _try(mount_point, tools, force=False)
    for number in signals:
        if problem is None:
            return
        await _signal_holders(number, mount_point, tools)
        until = time.monotonic() + grace_s
        while (problem := await _try(mount_point, tools, force=number == signal.SIGKILL)) is not None:
            if time.monotonic() > until:
                break
            await asyncio.sleep(_RETRY_S)
    if problem is not None:
        holders = await _signal_holders(None, mount_point, tools)
        held_by = ", ".join(holders) or "no process: a swap file, a loop device or an NFS export may be on it"
        raise Busy(f"{mount_point} is busy ({problem}); held by {held_by}")


async def detach(mount_point: str, tools: Tools) -> None:
    """Take a busy mount out of sight. It may still be written to: prove that it isn't by `still_claimed`."""
    try:
        await tools.run("umount", "--lazy", "--", mount_point, log=tools.log)
    except (CommandFailed, OSError) as problem:
        raise Busy(str(problem)) from problem


async def still_claimed(device: str, tools: Tools, *, grace_s: float) -> str:
    """Why a block device isn't free, or "". Mounted anywhere, in any mount namespace, it is claimed.

    An exclusive open fails while a filesystem has the device: open(2), O_EXCL.
    """
    until = time.monotonic() + grace_s
    while True:
        try:
            await tools.run(sys.executable, "-I", "-S", "-c", _CLAIM, device)
        except (CommandFailed, OSError) as problem:
            why = _said(problem)
            if time.monotonic() > until:
                return why
            await asyncio.sleep(_RETRY_S)
        else:
            return ""


async def _try(mount_point: str, tools: Tools, *, force: bool) -> str | None:
    """None when it is unmounted, else why not."""
    top = on_top(read_mounts(), mount_point)
    if top is None:
        return None
    try:
        await tools.run("umount", *(["--force"] if force else []), "--", mount_point)
    except (CommandFailed, OSError) as problem:
        if on_top(read_mounts(), mount_point) != top:
            return None  # somebody else was quicker
        return _said(problem)
    return None


async def _signal_holders(number: signal.Signals | None, mount_point: str, tools: Tools) -> list[str]:
    """Signal whoever holds a mount (None: look only); who they are, as "PID NAME HOW"."""
    program = "recovery_kits.filesystem.holders"
    try:
        printed = await tools.run(
            sys.executable,
            "-m",
            program,
            str(int(number or 0)),
            mount_point,
            str(os.getpid()),
            env={"PYTHONPATH": _IMPORT_ROOT},
        )
    except (CommandFailed, OSError) as problem:
        tools.log(f"can't find out who holds {mount_point}: {problem}")
        return []
    holders = [line.strip() for line in printed.splitlines()]
    if number is not None:
        for holder in holders:
            tools.log(f"{number.name} to {holder}, which keeps {mount_point} busy")
    return holders


def _said(problem: CommandFailed | OSError) -> str:
    """What a command said when it failed, never nothing."""
    return (problem.output.strip() if isinstance(problem, CommandFailed) else "") or str(problem)
