"""The Linux watchdog: the kernel resets this machine unless it is fed in time.

It covers what nothing else can: an agent that hangs, is stopped or is killed while its node runs
something. Invariants:
- a feeding lets the node live until `harmless_by` at most, the instant by which a node that has lost its
  authority must be harmless. Devices count whole seconds, so the timeout is changed to the longest that
  ends in time; where even the shortest is too long, the device isn't fed;
- opening feeds too (the kernel does that), and is held to the same rule;
- it is disarmed (the magic 'V') only when told so; closed in any other way it goes on counting;
- the loop never waits for the device. One thread does, and it looks at the clock just before it writes:
  a feeding that comes too late is dropped.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.config.watchdogs import SLACK_MS, WatchdogSetup, timeout_for
from agent.core.ids import Instant, later
from agent.fencing import device
from agent.fencing.device import DeviceFile, DeviceInfo, Raw
from recovery_kits.contract import Finding

T = TypeVar("T")
DEVICE_LIMIT_S = 2.0  # for opening and closing it


class WatchdogFailed(Exception):
    """The device can't protect this node; `finding` says why, and what mends it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem} ({remedy})")
        self.finding = Finding(problem, remedy)


@dataclass
class _Armed:
    """An open device; only the device's thread changes it."""

    raw: Raw
    info: DeviceInfo
    timeouts_s: tuple[int, ...]  # those it takes exactly as asked, the longest first
    timeout_s: int  # in force
    fires_at: Instant


class Watchdog:
    """One device, from `open` to `close`."""

    def __init__(
        self,
        path: Path,
        timeout_s: int,  # of timeout_for
        clock: Callable[[], Instant],
        opener: Callable[[Path], Raw] = DeviceFile,
    ) -> None:
        self._path, self._timeout_s, self._clock, self._opener = path, timeout_s, clock, opener
        self._thread = ThreadPoolExecutor(1, "watchdog")
        self._armed: _Armed | None = None
        self._feeding: Future[None] | None = None

    async def open(self, harmless_by: Instant | None) -> str:
        """Open and arm it, before the first restore; `harmless_by` as for `feed`. Returns what it is.

        Raises WatchdogFailed when it can't protect this node. It is then disarmed again if nothing is
        in service here; otherwise one that was armed, by this or an earlier life, fires.
        """
        opening = self._thread.submit(self._open, harmless_by)
        try:
            self._armed = await _within_limit(opening)
        except TimeoutError as error:
            text = f"{self._path} can't be opened within {DEVICE_LIMIT_S:g} s"
            raise WatchdogFailed(text, "use another device, such as softdog's") from error
        finally:
            if self._armed is None:  # nobody waits for it any more: if it comes late, it is let go
                opening.add_done_callback(lambda late: _drop(late, disarm=harmless_by is None))
        return f"{self._armed.info.identity}, {self._timeout_s} s"

    def feed(self, harmless_by: Instant | None) -> None:
        """Let the node live on, but not beyond that instant; never waits.

        `harmless_by`: the end of authority plus takeover margin of the hierarchy in service here whose
        authority ends first; None when nothing is in service here. While an earlier feeding still waits
        for the device nothing is done.
        """
        assert self._armed is not None, "open it first"
        if self._feeding is None or self._feeding.done():
            self._feeding = self._thread.submit(self._feed, self._armed, harmless_by)

    @property
    def trouble(self) -> str:
        """Why the last feeding failed; empty when it didn't, or isn't done."""
        if self._feeding is None or not self._feeding.done():
            return ""
        error = self._feeding.exception()
        return f"{self._path} can't be fed: {error}" if error else ""

    async def close(self, *, disarm: bool) -> None:
        """Let go of it. Disarm it only when nothing is in service here, or nobody may take that over.

        Raises WatchdogFailed when it couldn't be disarmed: it fires soon.
        """
        armed, self._armed = self._armed, None
        if armed is None:
            return
        closing = self._thread.submit(device.close, armed.raw, disarm=disarm)
        self._thread.shutdown(wait=False)
        try:
            await _within_limit(closing)
        except OSError as error:  # TimeoutError is one
            text = f"{self._path} can't be closed: {str(error) or 'it hangs'}"
            raise WatchdogFailed(text, "it will reset this machine") from error

    def _open(self, harmless_by: Instant | None) -> _Armed:
        if harmless_by is not None and self._clock() + self._timeout_s * 1_000 > harmless_by:
            text = f"opening {self._path} would let this node live longer than its authority"
            raise WatchdogFailed(text, "open it when authority is renewed")
        try:
            raw = self._opener(self._path)
        except OSError as error:
            raise WatchdogFailed(f"{self._path} can't be opened: {error}", _remedy(error)) from error
        try:
            info = device.read_info(raw)
        except OSError as error:
            device.close(raw, disarm=False)
            raise WatchdogFailed(f"{self._path} isn't a watchdog: {error}", "name another device") from error
        return self._arm(raw, info, disarm=harmless_by is None)

    def _arm(self, raw: Raw, info: DeviceInfo, *, disarm: bool) -> _Armed:
        """Set the timeout; raises WatchdogFailed, the device closed, when it isn't fit."""
        wanted = sorted({1, max(1, self._timeout_s // 2), self._timeout_s})
        try:
            real = {each: device.set_timeout(raw, each) for each in wanted}
        except OSError as error:
            device.close(raw, disarm=disarm)
            raise WatchdogFailed(f"{self._path} has no timeout: {error}", "use softdog") from error
        if unfit := _unfit(self._path, info, real[self._timeout_s], self._timeout_s):
            device.close(raw, disarm=disarm)
            raise unfit
        usable = tuple(each for each in reversed(wanted) if real[each] == each)
        return _Armed(raw, info, usable, self._timeout_s, later(self._clock(), self._timeout_s * 1_000))

    def _feed(self, armed: _Armed, harmless_by: Instant | None) -> None:
        now = self._clock()
        in_time = (
            each for each in armed.timeouts_s if harmless_by is None or now + each * 1_000 <= harmless_by
        )
        timeout_s = next(in_time, None)
        if timeout_s is None:
            return
        fires_at = later(now, timeout_s * 1_000)
        too_late = harmless_by is not None and armed.fires_at > harmless_by
        if fires_at <= armed.fires_at and not too_late:  # it would only shorten what was granted before
            return
        if timeout_s == armed.timeout_s:
            device.feed(armed.raw)
        elif (real_s := device.set_timeout(armed.raw, timeout_s)) != timeout_s:  # which feeds, too
            raise OSError(errno.EINVAL, f"it took {timeout_s} s before and makes {real_s} s of it now")
        armed.timeout_s, armed.fires_at = timeout_s, fires_at


def findings(setup: WatchdogSetup, authority_ms: int, margin_ms: int) -> list[Finding]:
    """What can be told without opening the device, which would arm it."""
    found = []
    if timeout_for(authority_ms, margin_ms) is None:
        within_ms = authority_ms + margin_ms
        problem = f"no watchdog can reset this node within {within_ms} ms: they count whole seconds"
        remedy = f"make dead_after {1_000 + SLACK_MS - margin_ms}ms or longer, or configure fencing"
        found.append(Finding(problem, remedy))
    if not setup.device.is_char_device():
        found.append(Finding(f"there is no device {setup.device}", "modprobe softdog"))
    return found


def _unfit(path: Path, info: DeviceInfo, timeout_s: int, wanted_s: int) -> WatchdogFailed | None:
    name = f"{path} ({info.identity})"
    if timeout_s != wanted_s:
        text = f"{name} fires after {timeout_s} s and can't be set to {wanted_s} s"
        return WatchdogFailed(text, "use softdog, make dead_after longer, or configure fencing")
    if info.alarm_only:
        return WatchdogFailed(f"{name} raises an alarm and doesn't reset the machine", "use softdog")
    if not info.magic_close:
        return WatchdogFailed(f"{name} is disarmed by the agent's death", "use softdog")
    return None


def _remedy(error: OSError) -> str:
    """What the operator can do about a device that can't be opened."""
    match error.errno:
        case errno.EBUSY:
            return "another process has it: systemd with RuntimeWatchdogSec, or a watchdog daemon"
        case errno.ENOENT | errno.ENODEV | errno.ENXIO:
            return "modprobe softdog, at every boot by /etc/modules-load.d"
        case errno.EACCES | errno.EPERM:
            return "the agent needs root to open it"
    return "use another device, such as softdog's"


async def _within_limit(call: Future[T]) -> T:
    """What the device's thread returns; raises TimeoutError while it goes on."""
    return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(call)), DEVICE_LIMIT_S)


def _drop(late: Future[_Armed], *, disarm: bool) -> None:
    """A device that was opened after nobody waited for it any more."""
    if late.exception() is None:
        device.close(late.result().raw, disarm=disarm)
