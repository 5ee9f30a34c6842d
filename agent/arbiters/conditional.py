"""The arbiter, on top of any store of small documents that writes conditionally.

Its invariants: each call ends within `limit_s`; a document that can't be read is never replaced; a
write that wasn't answered is taken neither for made nor for lost before a read has shown which.

The nonce shows it: no document is written twice, so whoever finds its own nonce has written it. Else
a node whose answer got lost would be told that somebody holds the vote, and it would be itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from agent.arbiters.contract import (
    ArbiterRefused,
    ArbiterUnanswered,
    Conflict,
    Record,
    Version,
)
from agent.arbiters.documents import Unreadable, decode, encode
from agent.arbiters.store import Mismatch, Store
from agent.aws.errors import AwsError, AwsFault
from agent.core.ids import HierarchyId
from recovery_kits.contract import Finding

WRITE_SHARE = 2 / 3  # of the limit; the rest is for looking up a write that wasn't answered
PROBE = ".check"  # no hierarchy can be called so
NEVER_A_VERSION = Version("0" * 32)


class ConditionalArbiter:
    """The `Arbiter` of one cluster, in one store."""

    def __init__(self, store: Store, *, limit_s: float) -> None:
        self._store, self._limit_s = store, limit_s

    async def read(self, hierarchy: HierarchyId) -> tuple[Record, Version] | None:
        """What it holds; None: no record yet."""
        with _in_our_words(self._store):
            async with asyncio.timeout(self._limit_s):
                return await self._held(hierarchy)

    async def write(self, hierarchy: HierarchyId, record: Record, expected: Version | None) -> Version:
        """Replace `expected` by `record`; raises Conflict."""
        assert record.register.hierarchy == hierarchy, record
        deadline = asyncio.get_running_loop().time() + self._limit_s
        with _in_our_words(self._store):
            try:
                async with asyncio.timeout(self._limit_s * WRITE_SHARE):
                    return await self._store.put(hierarchy, encode(record), expected)
            except Mismatch:
                doubt = ""
            except TimeoutError:
                doubt = f"no answer within {self._limit_s * WRITE_SHARE:g} s"
            except AwsError as error:
                if not error.unanswered or error.kind is AwsFault.THROTTLED:
                    raise  # certainly not written
                doubt = str(error)
            return await self._find_out(hierarchy, record, expected, doubt, deadline)

    async def validate(self) -> list[Finding]:
        """Write a document of its own as votes are written, and look whether conditions are kept."""
        try:
            await self.warm_up()
            with _in_our_words(self._store):
                async with asyncio.timeout(4 * self._limit_s):
                    return await self._probe()
        except ArbiterRefused as error:
            return [Finding(error.text, error.step)]
        except ArbiterUnanswered as error:
            step = "check the network, the security groups and the VPC endpoint, and the AWS health page"
            return [Finding(f"the arbiter doesn't answer: {error}", step, certain=False)]

    async def warm_up(self) -> None:
        """Load what the first call needs, before it is urgent; raises ArbiterError."""
        with _in_our_words(self._store):
            await self._store.load()

    def close(self) -> None:
        """Let threads and connections go."""
        self._store.close()

    async def _find_out(
        self, hierarchy: HierarchyId, record: Record, expected: Version | None, doubt: str, deadline: float
    ) -> Version:
        """What became of a write that wasn't answered (why: `doubt`), or was refused for another's."""
        try:
            async with asyncio.timeout_at(deadline):
                held = await self._held(hierarchy)
        except (AwsError, TimeoutError) as error:
            wrote, unread = doubt or "somebody else wrote", str(error) or "no answer in time"
            raise ArbiterUnanswered(f"{wrote}; then, reading what it holds: {unread}") from error
        found, version = held or (None, None)
        if found and version and found.nonce == record.nonce:
            return version
        if doubt and version == expected:
            raise ArbiterUnanswered(f"{doubt}; the write wasn't made, but may yet be")
        raise Conflict(found, version)

    async def _held(self, hierarchy: HierarchyId) -> tuple[Record, Version] | None:
        try:
            stored = await self._store.get(hierarchy)
            return stored and (decode(stored[0], hierarchy), stored[1])
        except Unreadable as error:
            step = (
                "see what it is; if it isn't a newer kage's, delete it while the nodes hear each other, "
                "and it is written anew"
            )
            raise ArbiterRefused(f"{self._store.place(hierarchy)} isn't used: {error}", step) from error

    async def _probe(self) -> list[Finding]:
        content = b'{"kagemusha": "written by kage check"}'
        if await self._store.get(PROBE) is None:
            await self._kept(content, None)  # another node that checks may be quicker
        if not await self._kept(content, None) or not await self._kept(content, NEVER_A_VERSION):
            problem = f"{self._store.place(PROBE)} was replaced against the condition of the write"
            return [Finding(problem, "use DynamoDB or S3 itself: this store can't keep a vote")]
        return []

    async def _kept(self, content: bytes, expected: Version | None) -> bool:
        """Did the store refuse?"""
        try:
            await self._store.put(PROBE, content, expected)
        except Mismatch:
            return True
        return False


@contextmanager
def _in_our_words(store: Store) -> Iterator[None]:
    """Raise what the contract names."""
    try:
        yield
    except TimeoutError as error:
        raise ArbiterUnanswered("no answer in time") from error
    except AwsError as error:
        if error.unanswered:
            raise ArbiterUnanswered(str(error)) from error
        raise ArbiterRefused(f"{error.operation}: {error.code}: {error.text}", store.step(error)) from error
