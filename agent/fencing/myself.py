"""Making this node harmless at once, when what it runs can't be stopped in good order.

Keeps: it doesn't return. A reboot through the kernel needs no disk, no process and no network.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

from agent.config.model import SelfFence

_SYSRQ = Path("/proc/sysrq-trigger")
_COMMAND_LIMIT_S = 10.0
_AGAIN_S = 1.0
_REAP_S = 1.0  # for a killed command to be gone

_log = logging.getLogger(__name__)


async def fence_myself(reason: str, setup: SelfFence) -> None:
    """Reboot (or run the configured command), again and again until it worked."""
    while True:
        _log.critical("fencing this node: %s", reason)
        try:
            if setup.command is None:
                _SYSRQ.write_text("b")  # noqa: ASYNC240 (immediate: no sync, no unmount, no return)
            else:
                await _run(setup.command)
        except OSError as error:
            _log.critical("fencing this node failed: %s; trying again", error)
        await asyncio.sleep(_AGAIN_S)


async def _run(command: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(_COMMAND_LIMIT_S):
            code = await process.wait()
    except TimeoutError:
        _log.critical("%s didn't end within %g s", command[0], _COMMAND_LIMIT_S)
        process.send_signal(signal.SIGKILL)
        await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=_REAP_S)
        return
    if code != 0:
        _log.critical("%s ended with %s", command[0], code)
