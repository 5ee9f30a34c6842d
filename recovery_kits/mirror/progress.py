"""How far a copy onto a leg has come, from md's own figure of the part of the array that it has passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agent.core.ids import Instant


@dataclass(frozen=True)
class Resync:
    """A copy that was completed."""

    kind: str  # "union" | "full"
    bytes: int
    seconds: float


class Progress:
    """One copy, from its start; `size_bytes` is what has to be copied altogether."""

    def __init__(self, kind: str, size_bytes: int, now: Instant) -> None:
        self.kind, self.size_bytes = kind, size_bytes
        self._began_at = self._now = now
        self._part = 0.0

    def look(self, now: Instant, part: float) -> None:
        """`part` of the array, from 0 to 1, has been passed."""
        self._now, self._part = now, max(self._part, min(part, 1.0))

    def done(self, now: Instant) -> Resync:
        """It is complete."""
        return Resync(self.kind, self.size_bytes, round((now - self._began_at) / 1_000, 1))

    def details(self) -> dict[str, Any]:
        """Its part of `LegDetails` (docs/mirror.md has the keys)."""
        copied = self.size_bytes * self._part
        rate = copied * 1_000 / (self._now - self._began_at) if self._now > self._began_at else 0.0
        left = self.size_bytes - copied
        return {
            "percent": round(100 * self._part, 1),
            "bytes_left": round(left),
            "rate_bytes_per_s": round(rate),
            "seconds_left": round(left / rate, 1) if rate else None,
        }
