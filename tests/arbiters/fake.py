"""An arbiter in memory that goes wrong as its script says; everything else is the real one's code."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from agent.arbiters.conditional import ConditionalArbiter
from agent.arbiters.contract import Version
from agent.arbiters.store import Mismatch
from agent.aws.errors import AwsError, AwsFault

Call = Literal["read", "write"]
LIMIT_S = 1.5  # of a call


class Trouble(Enum):
    """What can happen to one request."""

    THROTTLED = "refused: too many requests"
    BROKEN = "answered with a server error, not applied"
    CONTENDED = "answered that another write is under way"
    LOST_BEFORE = "cut off, not applied"
    LOST_AFTER = "cut off, applied"
    SLOW_ANSWER = "applied, the answer comes too late"
    LATE = "applied after its caller gave up"
    HANG = "never answered, not applied"
    DENIED = "refused: not permitted"
    GONE = "refused: no such place"


_RAISED = {
    Trouble.THROTTLED: (AwsFault.THROTTLED, "Throttling"),
    Trouble.BROKEN: (AwsFault.SERVER, "InternalError"),
    Trouble.CONTENDED: (AwsFault.SERVER, "ConditionalRequestConflict"),
    Trouble.LOST_BEFORE: (AwsFault.NETWORK, "ConnectionClosed"),
    Trouble.LOST_AFTER: (AwsFault.NETWORK, "ConnectionClosed"),
    Trouble.DENIED: (AwsFault.AUTH, "AccessDenied"),
    Trouble.GONE: (AwsFault.NOT_FOUND, "NoSuchPlace"),
}
_APPLIED = frozenset({Trouble.LOST_AFTER, Trouble.SLOW_ANSWER})
_SILENT = frozenset({Trouble.SLOW_ANSWER, Trouble.LATE, Trouble.HANG})


@dataclass
class _Entry:
    call: Call
    trouble: Trouble
    left: int | None


@dataclass(frozen=True)
class _Write:
    name: str
    content: bytes
    expected: Version | None


class ScriptedStore:
    """Keeps documents in memory; `trouble` scripts what happens to the next requests."""

    def __init__(self, *, keeps_conditions: bool = True) -> None:
        self.documents = dict[str, bytes]()
        self.calls = list[Call]()  # oldest first
        self._script, self._late = list[_Entry](), list[_Write]()
        self._keeps_conditions = keeps_conditions

    def trouble(self, call: Call, trouble: Trouble, left: int | None = 1) -> None:
        """Let the next `left` requests of this kind (None: all) go so."""
        self._script.append(_Entry(call, trouble, left))

    def heal(self) -> None:
        """Forget the script; late writes stay on their way."""
        self._script.clear()

    def apply_late_writes(self) -> None:
        """Let the writes arrive that were LATE."""
        arriving, self._late = self._late, []
        for write in arriving:
            if self._fits(write):
                self.documents[write.name] = write.content

    async def get(self, name: str) -> tuple[bytes, Version] | None:
        """The document and its version."""
        trouble = self._begin("read")
        await self._end(trouble)
        content = self.documents.get(name)
        return None if content is None else (content, _version(content))

    async def put(self, name: str, content: bytes, expected: Version | None) -> Version:
        """Write if the version is the expected one; raises Mismatch."""
        write, trouble = _Write(name, content, expected), self._begin("write")
        await asyncio.sleep(0)  # others may come first
        if trouble is Trouble.LATE:
            self._late.append(write)
        if trouble is None or trouble in _APPLIED:
            if not self._fits(write):
                raise Mismatch
            self.documents[name] = content
        await self._end(trouble)
        return _version(content)

    def place(self, name: str) -> str:
        """Where the document is, in words."""
        return f"the test's document {name}"

    def step(self, error: AwsError) -> str:
        """What could be done."""
        return f"mend the script: {error.code}"

    async def load(self) -> None:
        """Nothing to load."""

    def close(self) -> None:
        """Nothing to let go."""

    def _fits(self, write: _Write) -> bool:
        there = self.documents.get(write.name)
        version = None if there is None else _version(there)
        return version == write.expected or not self._keeps_conditions

    def _begin(self, call: Call) -> Trouble | None:
        self.calls.append(call)
        for entry in self._script:
            if entry.call == call and entry.left != 0:
                if entry.left is not None:
                    entry.left -= 1
                return entry.trouble
        return None

    async def _end(self, trouble: Trouble | None) -> None:
        if trouble in _SILENT:
            await asyncio.Event().wait()  # until the caller's patience ends
        if trouble is not None:
            kind, code = _RAISED[trouble]
            raise AwsError(kind, "Scripted", code, "as the script says")


class ScriptedArbiter(ConditionalArbiter):
    """An arbiter over a ScriptedStore; several may share one."""

    def __init__(self, store: ScriptedStore | None = None, *, limit_s: float = LIMIT_S) -> None:
        self.store = store or ScriptedStore()
        super().__init__(self.store, limit_s=limit_s)


def _version(content: bytes) -> Version:
    return Version(hashlib.sha256(content).hexdigest())
