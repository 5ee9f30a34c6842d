"""The clocks that the runtime puts into events."""

from __future__ import annotations

import time
from pathlib import Path

from agent.core.ids import Instant

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boottime_ms() -> Instant:
    """Milliseconds since the machine booted; goes on while it is suspended."""
    return Instant(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)


def boot_id() -> str:
    """Another one after each boot of the machine."""
    return _BOOT_ID.read_text().strip()
