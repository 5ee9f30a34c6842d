"""What an arbiter is: the vote that no node casts.

Its invariants:
- it holds one record for each hierarchy, and replaces it only for a writer that names the version
  it replaces: of several writers that have read the same version exactly one succeeds;
- a read is consistent: it shows every write that was answered before;
- every call ends within the limit that the arbiter was made with, and nothing is retried;
- no clock is read here. Who wants to know that a record is unchanged for so long reads it twice,
  and counts by a clock of its own.

A write that nobody answered in time may still be applied, at any later moment. That is harmless
because it is conditional: it can only replace what its writer had read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType, Protocol

from agent.core.ids import HierarchyId, NodeId
from agent.core.messages import Register
from recovery_kits.contract import Finding

Version = NewType("Version", str)  # of what an arbiter holds; compared for equality alone


@dataclass(frozen=True, kw_only=True)
class Record:
    """What an arbiter holds for one hierarchy: its vote, and the newest register that the writer knew."""

    register: Register
    voted_for: NodeId | None  # None: released, the vote is free
    term: int  # of that vote
    nonce: str  # new in each write, renewals too: a changed record is seen by it, a lost reply found out


class ArbiterError(Exception):
    """The arbiter gave no vote, and no answer that one could decide by."""


class ArbiterUnanswered(ArbiterError):
    """Nobody knows: no answer in time, too many requests, a failure of AWS. Ask again later."""


class ArbiterRefused(ArbiterError):
    """It can't work until an operator acts: a permission, the table, the bucket, a record it can't read."""

    def __init__(self, text: str, step: str) -> None:
        super().__init__(f"{text} ({step})")
        self.text, self.step = text, step  # step: what the operator should do


class Conflict(Exception):
    """The write was not made: the arbiter holds something else than the writer expected."""

    def __init__(self, record: Record | None, version: Version | None) -> None:
        held = f"term {record.term}, voted for {record.voted_for or 'nobody'}" if record else "no record"
        super().__init__(f"somebody else wrote: the arbiter holds {held}")
        self.record, self.version = record, version  # what it holds now; None: the record was deleted


class Arbiter(Protocol):
    """One arbiter; its calls may run side by side. Each raises ArbiterUnanswered or ArbiterRefused."""

    async def read(self, hierarchy: HierarchyId) -> tuple[Record, Version] | None:
        """What it holds; None: no record yet."""

    async def write(self, hierarchy: HierarchyId, record: Record, expected: Version | None) -> Version:
        """Put `record` in the place of the version `expected` (None: only if there is no record yet).

        Returns the new version; raises Conflict. A write that wasn't answered is looked up within the
        same limit, so ArbiterUnanswered says that nobody could tell whether it was or will be made.
        """

    async def validate(self) -> list[Finding]:
        """Find what would keep it from working: reachability, permissions, conditions that aren't kept.

        Touches no hierarchy's record; doesn't raise.
        """

    async def warm_up(self) -> None:
        """Load what the first call needs, before it is urgent."""

    def close(self) -> None:
        """Let threads and connections go."""
