"""One AWS session for all kits of an agent: bounded in time, in threads and in memory.

Its invariants:
- no call keeps its caller for longer than its time limit, even where the thread behind it hangs
  (slow DNS, a trickled reply); such a thread keeps its slot until it ends;
- at most THREADS calls are under way, and who finds no free slot in time is told so;
- nothing is retried here: who calls knows whether it still may act.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from agent.aws.errors import AwsError, AwsFault
from agent.aws.metadata import OPERATION, Machine, read_machine

if TYPE_CHECKING:
    from agent.aws.client import Client

T = TypeVar("T")
THREADS = 16  # also the pooled connections: as many route tables can be changed at once
GRACE_S = 0.5  # what a call may take beyond its connect and read time-outs
LOAD_LIMIT_S = 20.0  # loading botocore takes 0.5 s on an idle machine
METADATA_TIMEOUT_S = 1.0  # each request: it is answered on the same host
METADATA_LIMIT_S = 3.0


class AwsSession:
    """The `Aws` of recovery_kits.contract. Make it inside the event loop's thread, `close` it at the end."""

    def __init__(
        self, region: str | None = None, *, connect_timeout_ms: int = 1_000, read_timeout_ms: int = 2_000
    ) -> None:
        self._region = region  # None: this instance's
        self._connect_s, self._read_s = connect_timeout_ms / 1_000, read_timeout_ms / 1_000
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="aws")
        self._slots = asyncio.Semaphore(THREADS)
        self._under_way: set[asyncio.Future[Any]] = set()
        self._loading, self._reading = asyncio.Lock(), asyncio.Lock()
        self._client: Client | None = None
        self._machine: Machine | None = None

    @property
    def under_way(self) -> int:
        """How many threads are at work, also for callers that have given up."""
        return len(self._under_way)

    @property
    def endpoint(self) -> str | None:
        """Where EC2 calls go; None before the first."""
        return self._client.endpoint if self._client else None

    async def warm_up(self) -> None:
        """Load what the first call needs, before it is urgent.

        Raises AwsError when this machine's identity or the credentials can't be had; later calls
        try again by themselves.
        """
        await self._ec2_client()
        await self.identity()

    async def ec2(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Call e.g. "replace_route" once; raises AwsError."""
        client = await self._ec2_client()
        limit_s = self._connect_s + self._read_s + GRACE_S
        try:
            return await self._in_thread(operation, limit_s, lambda: client.call(operation, parameters))
        except AwsError as error:
            if error.code == "NoCredentialsError":  # a client keeps the credentials it was made with
                self._client = None
            raise

    async def identity(self) -> Machine:
        """This machine's identity, read once; raises AwsError when IMDS can't be reached."""
        async with self._reading:
            return self._machine or await self._read_machine()

    async def refresh_identity(self) -> Machine:
        """Read it again, after a link came or went; raises AwsError and keeps the old one if IMDS is away."""
        async with self._reading:
            return await self._read_machine()

    def close(self) -> None:
        """Let go of threads and connections; a thread that hangs ends by itself."""
        for call in self._under_way:
            call.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client:
            self._client.close()

    async def _read_machine(self) -> Machine:
        self._machine = await self._in_thread(
            OPERATION, METADATA_LIMIT_S, lambda: read_machine(METADATA_TIMEOUT_S)
        )
        return self._machine

    async def _ec2_client(self) -> Client:
        async with self._loading:
            if self._client is None:
                region = self._region or (await self.identity()).region
                self._client = await self._in_thread("load", LOAD_LIMIT_S, lambda: self._load(region))
            return self._client

    def _load(self, region: str) -> Client:
        from agent.aws.client import Client  # noqa: PLC0415 (costs 0.2 s: off the event loop)

        return Client(
            "ec2",
            region,
            connect_timeout_s=self._connect_s,
            read_timeout_s=self._read_s,
            connections=THREADS,
        )

    async def _in_thread(self, operation: str, limit_s: float, work: Callable[[], T]) -> T:
        """Run `work` in a thread, and stop waiting for it after `limit_s`."""
        sent = False
        try:
            async with asyncio.timeout(limit_s):
                await self._slots.acquire()
                call = asyncio.wrap_future(self._threads.submit(work))
                sent = True
                self._under_way.add(call)
                call.add_done_callback(self._ended)
                return await asyncio.shield(call)  # the slot is taken until the thread itself ends
        except TimeoutError as error:
            text = f"no answer within {limit_s:g} s" if sent else f"not sent: {THREADS} earlier calls hang"
            raise AwsError(AwsFault.NETWORK, operation, "TimedOut", text) from error

    def _ended(self, call: asyncio.Future[Any]) -> None:
        self._under_way.discard(call)
        self._slots.release()
