"""[watchdog]: which device it is, and what it can be set to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

SLACK_MS = 100  # between sending the heartbeat whose answer renews authority, and feeding


@dataclass(frozen=True, kw_only=True)
class WatchdogSetup:
    """[watchdog]: what resets this machine when its agent can't."""

    device: Annotated[
        Path,
        Meta(description="A watchdog device that nobody else uses, systemd's RuntimeWatchdogSec neither."),
    ] = Path("/dev/watchdog")


def timeout_for(authority_ms: int, margin_ms: int) -> int | None:
    """The timeout in seconds for grants that last `authority_ms`; None where the smallest is too long.

    It is at most authority + margin, and by SLACK_MS less: it is fed when a renewal arrives, and must
    fire by the end of what was renewed even so.
    """
    timeout_s = (authority_ms + margin_ms - SLACK_MS) // 1_000  # devices count whole seconds
    return timeout_s if timeout_s > 0 else None
