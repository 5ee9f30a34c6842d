"""What an arbiter keeps its documents in. `ConditionalArbiter` makes an arbiter of any of these."""

from __future__ import annotations

from typing import Protocol

from agent.arbiters.contract import Version
from agent.aws.errors import AwsError


class Mismatch(Exception):
    """The condition of a `put` wasn't met: nothing was written."""


class Store(Protocol):
    """Small documents under names, each replaced only by who names its version.

    `get` and `put` are one request each, and may raise agent.aws.AwsError.
    """

    async def get(self, name: str) -> tuple[bytes, Version] | None:
        """The document as every answered `put` left it; None if there is none."""

    async def put(self, name: str, content: bytes, expected: Version | None) -> Version:
        """Write if the document has the version `expected` (None: if there is none), else raise Mismatch.

        No two versions of a document are the same unless their contents are.
        """

    def place(self, name: str) -> str:
        """Where the document is, in words."""

    def step(self, error: AwsError) -> str:
        """What an operator can do about an answer that refuses."""

    async def load(self) -> None:
        """Load what the first request needs; raises AwsError."""

    def close(self) -> None:
        """Let threads and connections go."""
