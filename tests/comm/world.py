"""Real `Comm`s on loopback addresses: 127.<path>.0.<node>, one free port for all of them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import TypeVar, cast

from agent.comm.comm import Comm
from agent.comm.keys import KEY_BYTES, Keyring
from agent.config.model import PathAddresses
from agent.core.events import Event, HeartbeatHeard
from agent.core.ids import HierarchyId, Instant, NodeId, PathId, RequestId, Tag
from agent.core.messages import Forward, HierarchyReport, Register, Report, ResourceReport, TakeOutOfService
from agent.core.model import Heartbeat
from agent.core.states import Phase, ResourceState

A, B, C = NodeId("db-01"), NodeId("db-02"), NodeId("db-03")
ENI_0, ENI_1 = PathId("eni-0"), PathId("eni-1")
KEYRING = Keyring([bytes(range(KEY_BYTES))])
OTHER_KEYRING = Keyring([bytes(reversed(range(KEY_BYTES)))])
HEARTBEAT = Heartbeat(interval_ms=50, dead_after_ms=400)
FORWARD = Forward(request=RequestId("r1"), command=TakeOutOfService(hierarchy=HierarchyId("garoon")))
_E = TypeVar("_E")


def clock_ms() -> Instant:
    return Instant(time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000)


def on_loop(test: Callable[[], Coroutine[None, None, None]]) -> Callable[[], None]:
    """Run a test that is a coroutine, for half a minute at most."""

    @functools.wraps(test)
    def run() -> None:
        asyncio.run(asyncio.wait_for(test(), 30))

    del run.__dict__["__wrapped__"]  # pytest must not see the coroutine behind it
    return run


def report(revision: int, resources: int = 5) -> Report:
    """About 90 bytes a resource when encoded."""
    return Report(
        revision=revision,
        hierarchies=(
            HierarchyReport(
                register=Register(hierarchy=HierarchyId("garoon"), term=3, owner=A),
                phase=Phase.RUNNING,
                probed=True,
                eligible=True,
                resources=tuple(
                    ResourceReport(tag=Tag(f"resource-{i}"), state=ResourceState.ISP, why="x" * 40)
                    for i in range(resources)
                ),
            ),
        ),
    )


def address(node: NodeId, path: PathId) -> str:
    return f"127.{int(path[-1]) + 10}.0.{int(node[-1])}"


def free_port() -> int:
    """A port that is free for UDP and TCP on every test address (they are all on one loopback)."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        port = int(tcp.getsockname()[1])
        udp.bind(("127.0.0.1", port))
        return port


def two_paths(port: int, nodes: Iterable[NodeId] = (A, B)) -> list[PathAddresses]:
    return [
        PathAddresses(
            name=path,
            priority=priority,
            port=port,
            addresses={node: IPv4Address(address(node, path)) for node in nodes},
        )
        for priority, path in enumerate((ENI_0, ENI_1), start=1)
    ]


class Agent:
    """A Comm and the events it gave."""

    def __init__(
        self,
        me: NodeId,
        paths: list[PathAddresses],
        keyring: Keyring = KEYRING,
        heartbeat: Heartbeat = HEARTBEAT,
    ) -> None:
        self.paths, self.events = paths, list[Event]()
        self.comm = Comm(me, paths, keyring, heartbeat, "digest", "0.1.0", clock_ms, self.events.append)

    def got(self, kind: type[_E]) -> list[_E]:
        """What came in of one kind; of heartbeats those that count."""
        return [
            event
            for event in self.events
            if isinstance(event, kind) and getattr(event, "answers", True) is not None
        ]

    def uncounted(self) -> list[HeartbeatHeard]:
        """Heartbeats that prove no life, but that the next of this agent's may echo."""
        return [each for each in self.events if isinstance(each, HeartbeatHeard) and each.answers is None]

    def dropped(self, reason: str) -> int:
        return self.comm.counters().dropped.get(reason, 0)


@contextlib.asynccontextmanager
async def running(*agents: Agent) -> AsyncIterator[None]:
    """Their `run` as tasks; a crash of one fails the test."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(agent.comm.run()) for agent in agents]
        yield
        for task in tasks:
            task.cancel()


async def until(condition: Callable[[], object], within_s: float = 10) -> None:
    """Wait for it, or fail."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what it waits for sets no event
            await asyncio.sleep(0.005)


def redirected(paths: list[PathAddresses], path: PathId, node: NodeId, to: str) -> list[PathAddresses]:
    """The same, but `node` is believed to be at another address on that path."""
    return [
        replace(each, addresses={**each.addresses, node: IPv4Address(to)}) if each.name == path else each
        for each in paths
    ]


class Relay(asyncio.DatagramProtocol):
    """Stands in a comm path, passes datagrams on, and keeps a copy of each."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.cut = False
        self.captured: list[bytes] = []
        self._to = to

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # 3.11's own class doesn't say so

    def datagram_received(self, data: bytes, _address: object) -> None:
        self.captured.append(data)
        if not self.cut:
            self._transport.sendto(data, self._to)


@contextlib.asynccontextmanager
async def relaying(at: str, to: str, port: int) -> AsyncIterator[Relay]:
    """A relay for UDP from one address to another."""
    loop = asyncio.get_running_loop()
    transport, relay = await loop.create_datagram_endpoint(lambda: Relay((to, port)), local_addr=(at, port))
    try:
        yield relay
    finally:
        transport.close()
