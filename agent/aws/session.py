"""One AWS session, for all kits of an agent or for its arbiter: bounded in time, threads and memory.

Its invariants:
- no call keeps its caller for longer than its time limit, even where the thread behind it hangs
  (slow DNS, a trickled reply); such a thread keeps its slot until it ends;
- at most THREADS calls are under way, and who finds no free slot in time is told so;
- a client is made once: whoever needs it while it is being made waits for the same thread;
- nothing is retried here: who calls knows whether it still may act;
- what changes something that stands for who runs a hierarchy is sent by an authority only, asked again
  when the thread gets to it: its caller may have given up long ago, and another node may have taken over.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from agent.aws.errors import AwsError, AwsFault
from agent.aws.metadata import OPERATION, Machine, read_machine
from recovery_kits.contract import Authority

if TYPE_CHECKING:
    from agent.aws.client import Client

T = TypeVar("T")
Service = Literal["ec2", "route53", "elbv2", "dynamodb", "s3", "sts", "sns", "ses", "cloudwatch"]
Caller = tuple[Service, str | None]  # a client's service, and the ARN of the role that it calls as
BY_AUTHORITY = frozenset({"ec2", "route53", "elbv2"})  # what stands for who runs a hierarchy lives there
THREADS = 16  # also the pooled connections: as many route tables can be changed at once
GRACE_S = 0.5  # what a call may take beyond its connect and read time-outs
LOAD_LIMIT_S = 20.0  # loading botocore takes 0.5 s on an idle machine
METADATA_TIMEOUT_S = 1.0  # each request: it is answered on the same host
METADATA_LIMIT_S = 3.0
SESSION_NAME_REST, SESSION_NAME_LENGTH = re.compile(r"[^A-Za-z0-9_+=,.@-]"), 64  # what STS takes
READING = ("describe_", "get_", "list_", "search_")  # how operations begin that change nothing


class AwsSession:
    """The `Aws` of recovery_kits.contract. Make it inside the event loop's thread, `close` it at the end."""

    def __init__(
        self,
        region: str | None = None,
        *,
        connect_timeout_ms: int = 1_000,
        read_timeout_ms: int = 2_000,
        name: str = "kagemusha",
    ) -> None:
        """`name` is what CloudTrail shows beside a role that this node assumes, e.g. "demo.db-01"."""
        self._name = SESSION_NAME_REST.sub("-", name)[:SESSION_NAME_LENGTH]
        self._region = region  # None: this instance's
        self._connect_s, self._read_s = connect_timeout_ms / 1_000, read_timeout_ms / 1_000
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="aws")
        self._slots = asyncio.Semaphore(THREADS)
        self._under_way: set[asyncio.Future[Any]] = set()
        self._reading = asyncio.Lock()
        self._clients: dict[Caller, Client] = {}
        self._making: dict[Caller, asyncio.Future[Client]] = {}  # until the thread ends, whoever waits
        self._machine: Machine | None = None

    @property
    def under_way(self) -> int:
        """How many threads are at work, also for callers that have given up."""
        return len(self._under_way)

    @property
    def endpoint(self) -> str | None:
        """Where EC2 calls go; None before the first."""
        client = self._clients.get(("ec2", None))
        return client.endpoint if client else None

    async def warm_up(self) -> None:
        """Load what a kit's first call needs, before it is urgent.

        Raises AwsError when this machine's identity or the credentials can't be had; later calls
        try again by themselves.
        """
        await self.load("ec2")
        await self.identity()

    async def ec2(
        self,
        operation: str,
        *,
        authority: Authority | None = None,
        role: str | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Call e.g. "replace_route" once; raises AwsError. See recovery_kits.contract.Ec2."""
        return await self.call("ec2", operation, authority=authority, role=role, **parameters)

    async def call(
        self,
        service: Service,
        operation: str,
        *,
        authority: Authority | None = None,
        role: str | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Call e.g. "put_item" once; raises AwsError. See recovery_kits.contract.Aws.

        A streamed "Body" comes as bytes (see Client.call).
        """
        if service in BY_AUTHORITY and authority is None and not operation.startswith(READING):
            raise TypeError(f"{operation} changes something: name the authority by which it is sent")
        client = await self.load(service, role)
        limit_s = self._connect_s + self._read_s + GRACE_S
        try:
            return await self._in_thread(
                operation, limit_s, lambda: client.call(operation, parameters, authority), role
            )
        except AwsError as error:
            if error.code == "NoCredentialsError":  # a client keeps the credentials it was made with
                self._forget((service, role), client)
            raise

    async def load(self, service: Service, role: str | None = None) -> Client:
        """The service's client, made at its first use, its role assumed then; raises AwsError."""
        region = self._region or (await self.identity()).region
        caller = (service, role)
        if client := self._clients.get(caller):
            return client
        if caller not in self._making:
            making = asyncio.ensure_future(self._in_thread("load", None, lambda: self._load(caller, region)))
            making.add_done_callback(lambda made: self._made(caller, made))
            self._making[caller] = making
        try:
            async with asyncio.timeout(LOAD_LIMIT_S):
                return await asyncio.shield(self._making[caller])
        except TimeoutError as error:
            text = f"no client within {LOAD_LIMIT_S:g} s"
            raise AwsError(AwsFault.NETWORK, "load", "TimedOut", text, role=role) from error

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
        for call in (*self._under_way, *self._making.values()):
            call.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    async def _read_machine(self) -> Machine:
        self._machine = await self._in_thread(
            OPERATION, METADATA_LIMIT_S, lambda: read_machine(METADATA_TIMEOUT_S)
        )
        return self._machine

    def _load(self, caller: Caller, region: str) -> Client:
        """Keep the client even where the caller has given up: the next one needn't load it again."""
        from agent.aws.client import Client, Role  # noqa: PLC0415 (costs 0.2 s: off the event loop)

        service, role = caller
        client = Client(
            service,
            region,
            connect_timeout_s=self._connect_s,
            read_timeout_s=self._read_s,
            connections=THREADS,
            role=Role(role, self._name) if role else None,
        )
        return self._clients.setdefault(caller, client)

    def _made(self, caller: Caller, made: asyncio.Future[Client]) -> None:
        del self._making[caller]
        if not made.cancelled():
            made.exception()  # retrieved, also where every caller has given up

    def _forget(self, caller: Caller, client: Client) -> None:
        if self._clients.get(caller) is client:  # else another call has done so already
            del self._clients[caller]

    async def _in_thread(
        self, operation: str, limit_s: float | None, work: Callable[[], T], role: str | None = None
    ) -> T:
        """Run `work` in a thread, and stop waiting for it after `limit_s`; None: the caller has a limit."""
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
            text = (
                f"no answer within {limit_s or 0:g} s" if sent else f"not sent: {THREADS} earlier calls hang"
            )
            raise AwsError(AwsFault.NETWORK, operation, "TimedOut", text, role=role) from error

    def _ended(self, call: asyncio.Future[Any]) -> None:
        self._under_way.discard(call)
        self._slots.release()
        if not call.cancelled():
            call.exception()  # retrieved: nobody else does where the caller has given up
