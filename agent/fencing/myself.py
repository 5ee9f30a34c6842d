"""Making this node harmless at once, when what it runs can't be stopped in good order.

Keeps: it doesn't return, and nothing stops it: not a disk that hangs, not a process that doesn't end, not
a journal that takes no more. What it needs is loaded before; a reboot through the kernel needs no disk, no
process and no network. Where it doesn't work the next means is tried, round and round.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from threading import Thread
from typing import NoReturn

from agent.config.model import SelfFence
from agent.fencing import guardian
from agent.fencing.process import run

SYSRQ, KERNEL_LOG = Path(guardian.SYSRQ), Path(guardian.KERNEL_LOG)
_COMMAND_LIMIT_S = guardian.COMMAND_LIMIT_MS / 1_000
_LOG_LIMIT_S = 0.05  # the journal may sit on the disk that hangs
_AFTER_S = guardian.AFTER_S

_log = logging.getLogger(__name__)


async def fence_myself(
    reason: str,
    setup: SelfFence,
    *,
    sysrq: Path = SYSRQ,
    kernel_log: Path = KERNEL_LOG,
    command_limit_s: float = _COMMAND_LIMIT_S,
) -> NoReturn:
    """Try the configured means in their order, again and again, until the node is no more."""
    tell = _Teller(kernel_log)
    for means in cycle(setup.order):
        tell(f"fencing this node by {means}: {reason}")
        try:
            match means:
                case "command":
                    assert setup.command is not None
                    await _run(setup.command, command_limit_s, tell)
                case "reboot":
                    sysrq.write_bytes(guardian.REBOOT)  # noqa: ASYNC240 (doesn't return where it works)
                case "poweroff":
                    sysrq.write_bytes(guardian.POWER_OFF)  # noqa: ASYNC240
        except OSError as error:
            tell(f"fencing this node by {means} failed: {error}")
        await asyncio.sleep(_AFTER_S[means])
    raise AssertionError("cycle() ends only when it is empty")


async def _run(command: tuple[str, ...], limit_s: float, tell: Callable[[str], None]) -> None:
    """Run the command, and tell if it didn't work."""
    ended = await run(command, "", limit_s)
    if ended.code is None:
        tell(f"{command[0]} didn't end within {limit_s:g} s")
    elif ended.code != 0:
        tell(f"{command[0]} ended with {ended.code}: {ended.output.strip() or '(no output)'}")


class _Teller:
    """Tells the kernel log, which the console shows after a reboot, and the journal, which may lose it.

    Doesn't wait for them: while one line hangs the others are dropped.
    """

    def __init__(self, kernel_log: Path) -> None:
        self._kernel_log = kernel_log
        self._thread: Thread | None = None

    def __call__(self, text: str) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._thread = Thread(target=self._tell, args=(text,), name="last words", daemon=True)
        self._thread.start()
        self._thread.join(_LOG_LIMIT_S)

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # a container has none
            log = os.open(self._kernel_log, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                os.write(log, f"<2>kagemusha: {text}\n".encode())  # 2: critical; one record for each write
            finally:
                os.close(log)
        _log.critical("%s", text)
