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
import threading
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from agent.aws.bucket import CHANGES, READS, Bucket, Rate
from agent.aws.errors import AwsError, AwsFault
from agent.aws.metadata import OPERATION, Machine, links, read_machine
from agent.aws.upkeep import Upkeep
from recovery_kits.contract import Authority, Service

if TYPE_CHECKING:
    from agent.aws.client import Client
    from agent.aws.credentials import Kept
    from agent.aws.setup import Limits

T = TypeVar("T")
Caller = tuple[Service, str | None]  # a client's service, and the ARN of the role that it calls as
BY_AUTHORITY = frozenset({"ec2", "route53", "elbv2"})  # what stands for who runs a hierarchy lives there
THREADS = 16  # also the pooled connections: as many route tables can be changed at once
PATIENCE_S = 2.0  # how long a call waits for the session's own limit on calls a second
GRACE_S = 0.5  # what a call may take beyond its connect and read time-outs
RENEW_LIMIT_S = 10.0  # of credentials: nothing waits for them
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
        reads: Rate = READS,
        changes: Rate = CHANGES,
        precede: Callable[[], None] | None = None,
    ) -> None:
        """`name` is what CloudTrail shows beside a role that this node assumes, e.g. "demo.db-01".

        `reads` and `changes` bound how often each of EC2, Route 53 and the load balancers is called: their
        quotas are the account's. An arbiter's table is the cluster's own, and a vote mustn't wait: its
        calls are made in threads of their own that begin with `precede`; loading what they need is not.
        """
        self._name = SESSION_NAME_REST.sub("-", name)[:SESSION_NAME_LENGTH]
        self._rates = {True: reads, False: changes}
        self._buckets: dict[tuple[Service, bool], Bucket] = {}
        self._region = region  # None: this instance's
        self._connect_s, self._read_s = connect_timeout_ms / 1_000, read_timeout_ms / 1_000
        self._threads = self._callers = ThreadPoolExecutor(THREADS, thread_name_prefix="aws")
        if precede is not None:
            self._callers = ThreadPoolExecutor(THREADS, thread_name_prefix="aws-first", initializer=precede)
        self._slots = asyncio.Semaphore(THREADS)
        self._under_way: set[asyncio.Future[Any]] = set()
        self._reading = asyncio.Lock()
        self._clients: dict[Caller, Client] = {}
        self._making: dict[Caller, asyncio.Future[Client]] = {}  # until the thread ends, whoever waits
        self._kept: dict[str | None, Kept] = {}  # credentials by the role's ARN; None: the node's own
        self._keeping = threading.Lock()  # `_kept` is filled in threads
        self._machine: Machine | None = None
        self._links = frozenset[str]()  # there were when the machine was read
        self._upkeep: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        """How many threads are at work, also for callers that have given up."""
        return len(self._under_way)

    @property
    def endpoint(self) -> str | None:
        """Where EC2 calls go; None before the first."""
        client = self._clients.get(("ec2", None))
        return client.endpoint if client else None

    async def warm_up(self, services: Iterable[Service] = ("ec2",)) -> None:
        """Load what the first call of each of these services needs, before it is urgent.

        Raises AwsError when this machine's identity or the credentials can't be had; later calls
        try again by themselves.
        """
        for service in services:
            await self.load(service)
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
        reading = operation.startswith(READING)
        if service in BY_AUTHORITY and authority is None and not reading:
            raise TypeError(f"{operation} changes something: name the authority by which it is sent")
        if service in BY_AUTHORITY:
            await self._wait_turn(service, operation, reading=reading)
        client = await self.load(service, role)
        limit_s = self._connect_s + self._read_s + GRACE_S
        return await self._in_thread(
            operation, limit_s, lambda: client.call(operation, parameters, authority), role, self._callers
        )

    async def load(self, service: Service, role: str | None = None) -> Client:
        """The service's client, made at its first use, its role assumed then; raises AwsError."""
        self._look_after()
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
        for task in (*self._under_way, *self._making.values(), self._upkeep):
            if task is not None:
                task.cancel()
        for pool in {self._threads, self._callers}:
            pool.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()
        for kept in self._kept.values():
            kept.close()

    async def _wait_turn(self, service: Service, operation: str, *, reading: bool) -> None:
        rate = self._rates[reading]
        bucket = self._buckets.setdefault((service, reading), Bucket(rate))
        wait_s = bucket.take(PATIENCE_S)
        if wait_s is None:
            what = "reads" if reading else "changes"
            text = f"not sent: this agent's own limit is {rate.per_s:g} {what} of {service} a second"
            raise AwsError(AwsFault.THROTTLED, operation, "OwnLimit", text)
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    async def _read_machine(self) -> Machine:
        links_then = links()
        self._machine = await self._in_thread(
            OPERATION, METADATA_LIMIT_S, lambda: read_machine(METADATA_TIMEOUT_S)
        )
        self._links = links_then
        return self._machine

    def _look_after(self) -> None:
        """Begin the upkeep, which ends with the session."""
        if self._upkeep is None:
            upkeep = Upkeep(self._renewals, self._links_changed, self.refresh_identity)
            self._upkeep = asyncio.create_task(upkeep.run(), name="aws upkeep")

    def _renewals(self) -> dict[str, Callable[[], Awaitable[object]]]:
        def renewal(kept: Kept) -> Callable[[], Awaitable[object]]:
            return lambda: self._in_thread("credentials", RENEW_LIMIT_S, kept.renew, kept.role)

        kept = list(self._kept.values())  # threads add to it
        return {each.role or "this node": renewal(each) for each in kept if each.due}

    def _links_changed(self) -> bool:
        return self._machine is not None and links() != self._links

    def _load(self, caller: Caller, region: str) -> Client:
        """Keep the client even where the caller has given up: the next one needn't load it again."""
        from agent.aws.client import Client  # noqa: PLC0415 (costs 0.2 s: off the event loop)
        from agent.aws.setup import Limits  # noqa: PLC0415

        service, role = caller
        limits = Limits(connect_timeout_s=self._connect_s, read_timeout_s=self._read_s, connections=THREADS)
        client = Client(service, region, self._credentials(role, region, limits), limits)
        return self._clients.setdefault(caller, client)

    def _credentials(self, role: str | None, region: str, limits: Limits) -> Kept:
        from agent.aws.credentials import Assumed, own_credentials  # noqa: PLC0415

        with self._keeping:
            if None not in self._kept:
                self._kept[None] = own_credentials()
            if role is not None and role not in self._kept:
                self._kept[role] = Assumed(self._kept[None], role, self._name, region, limits)
            return self._kept[role]

    def _made(self, caller: Caller, made: asyncio.Future[Client]) -> None:
        del self._making[caller]
        if not made.cancelled():
            made.exception()  # retrieved, also where every caller has given up

    async def _in_thread(
        self,
        operation: str,
        limit_s: float | None,
        work: Callable[[], T],
        role: str | None = None,
        pool: ThreadPoolExecutor | None = None,
    ) -> T:
        """Run `work` in a thread, and stop waiting for it after `limit_s`; None: the caller has a limit."""
        sent = False
        try:
            async with asyncio.timeout(limit_s):
                await self._slots.acquire()
                call = asyncio.wrap_future((pool or self._threads).submit(work))
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
