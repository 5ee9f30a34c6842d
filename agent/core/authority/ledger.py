"""What of a node's authority must outlive its agent, and how much of that is on disk.

Keeps: each record holds everything as it is when it is made, so a newer one replaces an older one; a
store that failed is tried each second, because what it lacks may be a release or a failure.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.core.effects import Durable, Effect, Kind, Notice, Notify, Persist, Severity
from agent.core.ids import Instant, later
from agent.core.state import OwnershipLife

RETRY_MS = 1_000


class Ledger:
    """Makes records and follows what becomes of them."""

    def __init__(self, life: OwnershipLife, contents: Callable[[], Durable]) -> None:
        self._life, self._contents = life, contents

    @property
    def failed(self) -> str:
        """Why the newest record isn't on disk and won't be; empty while all is well."""
        return self._life.store_failed

    @property
    def next_serial(self) -> int:
        """Of the next record."""
        return self._life.serial + 1

    @property
    def is_idle(self) -> bool:
        """Is the newest record on disk?"""
        return self._life.durable_serial == self._life.serial

    @property
    def retry_at(self) -> Instant | None:
        """When a store that failed is tried again."""
        return self._life.store_retry_at if self.failed else None

    def holds(self, serial: int) -> bool:
        """Is the record of that serial, or a newer one, on disk?"""
        return serial <= self._life.durable_serial

    def record(self) -> Persist:
        """Everything durable as it is now."""
        self._life.serial += 1
        return Persist(self._life.serial, self._contents())

    def retry(self, at: Instant) -> list[Effect]:
        """Try a store that failed again, now and then."""
        if not self.failed or at < self._life.store_retry_at:
            return []
        self._life.store_retry_at = later(at, RETRY_MS)
        return [self.record()]

    def persisted(self, serial: int, at: Instant) -> list[Effect]:
        """The record of that serial is on disk."""
        self._life.durable_serial = max(self._life.durable_serial, serial)
        if not self.failed:
            return []
        self._life.store_failed = ""
        return [_tell(at, Kind.STORE_MENDED, Severity.INFO, "the store can be written again")]

    def persist_failed(self, why: str, meaning: str, at: Instant) -> list[Effect]:
        """A record isn't on disk; `meaning` says what this node can't do until it can be written."""
        known, self._life.store_failed = bool(self.failed), why
        self._life.store_retry_at = later(at, RETRY_MS)
        return [] if known else [_tell(at, Kind.STORE_FAILED, Severity.ALARM, f"{why}; {meaning}")]

    def is_newest(self, serial: int) -> bool:
        """Or is a newer record on its way?"""
        return serial == self._life.serial


def _tell(at: Instant, kind: Kind, severity: Severity, text: str) -> Notify:
    return Notify(Notice(at=at, kind=kind, severity=severity, text=text))
