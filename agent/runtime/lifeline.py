"""What makes this node harmless when its agent can't: a guardian process, and a watchdog device.

Keeps: both are told after every step of the core by when this node must be harmless, and never later than
its authority reaches; where that isn't renewed they are told nothing, and what they were told runs out.
One that is lost raises an alarm and is replaced as soon as that works.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from agent.config.model import Config
from agent.config.watchdogs import timeout_for
from agent.core.effects import Kind, Severity
from agent.core.ids import FOREVER, Instant, later
from agent.core.states import Quorum
from agent.fencing.guard import Guard, GuardFailed
from agent.fencing.watchdog import Watchdog, WatchdogFailed

AGAIN_S = 5.0

_log = logging.getLogger(__name__)


class Lifeline:
    """The guardian and the watchdog of one agent; in mode `none` there is neither."""

    def __init__(
        self,
        config: Config,
        directory: Path,
        clock_ms: Callable[[], Instant],
        tell: Callable[[Kind, Severity, str], None],
    ) -> None:
        self._config, self._clock_ms, self._tell = config, clock_ms, tell
        self._guard: Guard | None = None
        self._watchdog: Watchdog | None = None
        self._harmless_by: Instant = FOREVER
        self._troubles: dict[str, str] = {}
        if config.cluster.quorum is Quorum.MAJORITY:
            self._guard = Guard(directory, config.self_fence, config.cluster.takeover_margin_ms)

    @property
    def troubles(self) -> list[str]:
        """What doesn't protect this node though it should."""
        return list(self._troubles.values())

    async def start(self) -> None:
        """Have both ready before the first restore, as far as they can be had."""
        await self._start_guard()
        await self._open_watchdog()

    async def run(self) -> None:
        """Replace what is lost."""
        while True:
            if self._guard is not None and self._guard.alive:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._guard.died(), AGAIN_S)
                    self._report("guardian", "it has ended")
            else:
                await asyncio.sleep(AGAIN_S)
            await self._start_guard()
            if self._watchdog is None or self._watchdog.trouble:
                await self._open_watchdog()

    def set(self, harmless_by: Instant) -> None:
        """`harmless_by` of the core's mind; never waits. An instant in the past is told to nobody."""
        self._harmless_by = harmless_by
        if harmless_by <= self._clock_ms():
            return
        by = None if harmless_by >= FOREVER else harmless_by
        if self._guard is not None:  # which needs a moment to act, and shares the margin's second half
            early_ms = self._config.cluster.takeover_margin_ms // 4
            self._guard.set(by if by is None else later(by, -early_ms))
        if self._watchdog is not None:
            self._watchdog.feed(by)

    async def close(self, *, disarm: bool) -> None:
        """Let go of both; without `disarm` they end this node unless another agent takes them up in time."""
        try:
            if self._guard is not None:
                await self._guard.close(disarm=disarm)
        except GuardFailed as error:
            _log.warning("%s", error)
        try:
            if self._watchdog is not None:
                await self._watchdog.close(disarm=disarm)
        except WatchdogFailed as error:
            _log.critical("%s", error)

    async def _start_guard(self) -> None:
        if self._guard is None or self._guard.alive:
            return
        try:
            started = await self._guard.start()
        except GuardFailed as error:
            self._report("guardian", str(error))
        else:
            _log.info("guarded by %s", started)
            self._report("guardian", "")

    async def _open_watchdog(self) -> None:
        setup, cluster = self._config.watchdog, self._config.cluster
        if setup is None:
            return
        timeout_s = timeout_for(cluster.heartbeat.dead_after_ms, cluster.margin_ms)
        if timeout_s is None:  # the configuration's notes say so
            return
        by = None if self._harmless_by >= FOREVER else self._harmless_by
        watchdog, former = Watchdog(setup.device, timeout_s, self._clock_ms), self._watchdog
        try:
            if former is not None:
                self._watchdog = None
                await former.close(disarm=by is None)
            _log.info("watchdog: %s", await watchdog.open(by))
        except WatchdogFailed as error:
            self._report("watchdog", str(error))
        else:
            self._watchdog = watchdog
            self._report("watchdog", "")

    def _report(self, what: str, trouble: str) -> None:
        """An alarm at the first trouble, a word at its end."""
        known = self._troubles.pop(what, "")
        if trouble:
            self._troubles[what] = f"{what}: {trouble}"
        if trouble and not known:
            self._tell(Kind.UNGUARDED, Severity.ALARM, f"no {what} protects this node: {trouble}")
        elif known and not trouble:
            self._tell(Kind.UNGUARDED, Severity.INFO, f"a {what} protects this node again")
