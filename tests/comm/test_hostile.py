"""Strangers on the network: floods, recordings, and connections that mean no good."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from agent.comm.keys import KEY_BYTES, Keyring
from agent.core.events import HeartbeatHeard, MessageHeard
from agent.core.model import Heartbeat
from tests.comm import flood
from tests.comm.world import (
    ENI_0,
    ENI_1,
    FORWARD,
    HEARTBEAT,
    A,
    Agent,
    B,
    address,
    clock_ms,
    free_port,
    on_loop,
    redirected,
    relaying,
    report,
    running,
    two_paths,
    until,
)

BALANCED = Heartbeat(interval_ms=250, dead_after_ms=2_000)
RELAY_AT = "127.10.0.9"
GREETING_BYTES, HELLO_BYTES = 37, 98

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def recorded(a: Agent, b: Agent, port: int) -> list[bytes]:
    """Run both, with a relay in front of A on eni-0, and return what B said to A there."""
    async with relaying(RELAY_AT, address(A, ENI_0), port) as relay, running(a):
        async with running(b):
            await until(lambda: len(relay.captured) >= 20 and a.got(HeartbeatHeard))
        relay.cut = True
        return relay.captured[:]


async def replayed(recording: list[bytes], to: Agent, port: int) -> None:
    """Send a recording to A on eni-0 while it runs, and wait until all of it was dropped."""
    sent = to.comm.counters().heartbeats_sent
    async with running(to):
        await until(lambda: to.comm.counters().heartbeats_sent > sent)
        before = sum(to.comm.counters().dropped.values())
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            for datagram in recording:
                sock.sendto(datagram, (address(A, ENI_0), port))
        await until(lambda: sum(to.comm.counters().dropped.values()) == before + len(recording))


@on_loop
async def test_a_recording_replayed_later_is_no_event_to_those_who_heard_it_or_to_their_next_life() -> None:
    port = free_port()
    paths = two_paths(port)
    a, b = Agent(A, paths), Agent(B, redirected(paths, ENI_0, A, RELAY_AT))
    b.comm.publish(report(1))
    recording = await recorded(a, b, port)
    recorded_at, events = clock_ms(), len(a.events)
    await until(lambda: clock_ms() > recorded_at + HEARTBEAT.dead_after_ms)
    await replayed(recording, a, port)
    assert len(a.events) == events
    again = Agent(A, paths)
    await replayed(recording, again, port)
    assert again.uncounted() == again.events  # each may be one to echo, none is worth more


@on_loop
async def test_my_own_words_sent_back_to_me_are_no_event() -> None:
    port = free_port()
    paths = two_paths(port)
    a = Agent(A, redirected(paths, ENI_0, B, RELAY_AT))
    async with relaying(RELAY_AT, address(A, ENI_0), port), running(a):
        await until(lambda: a.dropped("reflected") >= 3)
    assert a.events == []


def test_under_a_flood_heartbeats_still_come_and_nothing_else_does(tmp_path: Path) -> None:
    recording, port = tmp_path / "recording", free_port()
    paths = two_paths(port)
    b = Agent(B, redirected(paths, ENI_0, A, RELAY_AT))
    captured = asyncio.run(recorded(Agent(A, paths), b, port))
    recording.write_bytes(b"".join(len(datagram).to_bytes(2, "big") + datagram for datagram in captured))
    asyncio.run(asyncio.wait_for(_flooded(recording, port), 30))


async def _flooded(recording: Path, port: int) -> None:
    paths = two_paths(port)
    a, b = Agent(A, paths, heartbeat=BALANCED), Agent(B, paths, heartbeat=BALANCED)
    async with running(a, b):
        await until(lambda: len(a.comm.peer_info()) == len(b.comm.peer_info()) == 1)
        begun = clock_ms()
        targets = address(A, ENI_0), address(A, ENI_1)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, flood.__file__, "3", str(recording), str(port), *targets),
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0
        ended = clock_ms()
    counters = a.comm.counters()
    print(f"{int(printed)} sent, A dropped {counters.dropped}")
    assert {"length", "magic", "seal", "replay", "misdirected"} <= counters.dropped.keys()
    assert {type(event) for event in a.events} == {HeartbeatHeard}
    assert {event.incarnation for event in a.got(HeartbeatHeard)} == {b.comm.incarnation}
    for hears in (a, b):
        instants = [begun, *(e.at for e in hears.got(HeartbeatHeard) if begun < e.at < ended), ended]
        gaps = [after - before for before, after in itertools.pairwise(instants)]
        print(f"longest silence {max(gaps)} ms, {len(gaps)} heartbeats in {ended - begun} ms")
        assert max(gaps) < BALANCED.dead_after_ms


@contextlib.asynccontextmanager
async def connected(
    port: int, source: str
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection to A on eni-0 from that address."""
    reader, writer = await asyncio.open_connection(address(A, ENI_0), port, local_addr=(source, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@on_loop
async def test_connections_that_do_not_prove_themselves_are_ended_and_counted() -> None:
    port = free_port()
    a = Agent(A, two_paths(port))
    async with running(a):
        await until(lambda: a.comm.counters().heartbeats_sent)
        async with connected(port, "127.0.0.1") as (reader, _):  # not a peer's address: not even greeted
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        for words in (b"\0" * HELLO_BYTES, b"GET / HTTP/1.1\r\n" * 10):
            async with connected(port, address(B, ENI_0)) as (reader, writer):
                writer.write(words)
                with contextlib.suppress(ConnectionResetError):
                    assert len(await reader.read()) <= GREETING_BYTES
        async with connected(port, address(B, ENI_0)) as (reader, _):  # says nothing
            with contextlib.suppress(ConnectionResetError):
                assert len(await reader.read()) == GREETING_BYTES
        await until(lambda: a.dropped("handshake"))
        assert (a.dropped("stranger"), a.dropped("magic")) == (1, 2)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(20):
                await stack.enter_async_context(connected(port, address(B, ENI_0)))
            await until(lambda: a.dropped("crowd") == 4)
        assert a.events == []


@on_loop
async def test_a_recorded_connection_means_nothing_when_it_is_played_again() -> None:
    port = free_port()
    paths = two_paths(port)
    a, b = Agent(A, paths), Agent(B, redirected(paths, ENI_0, A, RELAY_AT))
    async with (
        relaying(RELAY_AT, address(A, ENI_0), port),
        recording_tcp(port) as recording,
        running(a, b),
    ):
        await until(
            lambda: a.got(HeartbeatHeard) and {e.path for e in b.got(HeartbeatHeard)} == {ENI_0, ENI_1}
        )
        b.comm.send(A, FORWARD)
        await until(lambda: a.got(MessageHeard))
        async with connected(port, address(B, ENI_0)) as (reader, writer):
            writer.write(b"".join(recording))
            with contextlib.suppress(ConnectionResetError):
                assert len(await reader.read()) == GREETING_BYTES
        await until(lambda: a.dropped("seal") == 1)
        assert len(a.got(MessageHeard)) == 1


@on_loop
async def test_a_frame_longer_than_the_limit_ends_its_connection() -> None:
    port = free_port()
    paths = two_paths(port)
    a, b = Agent(A, paths), Agent(B, redirected(paths, ENI_0, A, RELAY_AT))
    async with (
        relaying(RELAY_AT, address(A, ENI_0), port),
        recording_tcp(port, then=b"\x7f\xff\xff\xff") as recording,
        running(a, b),
    ):
        await until(
            lambda: a.got(HeartbeatHeard) and {e.path for e in b.got(HeartbeatHeard)} == {ENI_0, ENI_1}
        )
        b.comm.send(A, FORWARD)
        await until(lambda: recording and a.dropped("length") == 1)


@on_loop
async def test_a_letter_held_back_until_the_peers_next_life_is_not_delivered() -> None:
    port = free_port()
    paths = two_paths(port)
    a, old_b = Agent(A, paths), Agent(B, redirected(paths, ENI_0, A, RELAY_AT))
    async with relaying(RELAY_AT, address(A, ENI_0), port), running(a):
        release = asyncio.Event()
        async with recording_tcp(port, hold=release) as recording:
            async with running(old_b):
                await until(
                    lambda: (
                        {e.path for e in a.got(HeartbeatHeard)}
                        == {e.path for e in old_b.got(HeartbeatHeard)}
                        == {ENI_0, ENI_1}
                    )
                )
                old_b.comm.send(A, FORWARD)
                await until(lambda: a.got(MessageHeard))  # by the next-best path: the first try is held
            assert len(recording) == 2
            new_b = Agent(B, redirected(paths, ENI_0, A, "127.10.0.8"))  # kept off the path that is held
            async with running(new_b):
                await until(lambda: a.comm.peer_info()[B].incarnation == new_b.comm.incarnation)
                await until(lambda: new_b.got(HeartbeatHeard))
                new_b.comm.send(A, FORWARD)
                await until(lambda: len(a.got(MessageHeard)) == 2)
                before = a.dropped("old-life")  # some may have been late heartbeats
                release.set()
                await until(lambda: a.dropped("old-life") > before)
    assert len(a.got(MessageHeard)) == 2


@on_loop
async def test_no_connection_outlives_the_key_it_was_made_with() -> None:
    port = free_port()
    paths = two_paths(port)
    old, new = b"\x01" * KEY_BYTES, b"\x02" * KEY_BYTES
    a, b = (Agent(node, paths, Keyring([old, new])) for node in (A, B))
    async with running(a, b):
        await until(lambda: len(a.comm.peer_info()) == len(b.comm.peer_info()) == 1)
        b.comm.send(A, FORWARD)
        await until(lambda: a.got(MessageHeard))
        before = dict(a.comm._inbox._proven)
        assert len(before) == 1
        for agent in (a, b):
            agent.comm.use_keys(Keyring([new]))
        await until(lambda: not a.comm._inbox._proven)
        b.comm.send(A, FORWARD)
        await until(lambda: len(a.got(MessageHeard)) == 2)
    assert (a.dropped("seal"), a.dropped("key")) == (0, 0)


@contextlib.asynccontextmanager
async def recording_tcp(
    port: int, then: bytes = b"", hold: asyncio.Event | None = None
) -> AsyncIterator[list[bytes]]:
    """A TCP relay to A that keeps what the client says, adds something of its own after it, and may wait."""
    said: list[bytes] = []

    async def serve(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        async with connected(port, address(B, ENI_0)) as (far_reader, far_writer):
            near_writer.write(await far_reader.readexactly(GREETING_BYTES))
            said.append(await near_reader.readexactly(HELLO_BYTES))
            far_writer.write(said[0])
            said.append(await near_reader.read(65_536))
            if hold is not None:
                await hold.wait()
            far_writer.write(said[1] + then)
            with contextlib.suppress(ConnectionResetError):
                while words := await far_reader.read(65_536):
                    near_writer.write(words)
        near_writer.transport.abort()

    server = await asyncio.start_server(serve, RELAY_AT, port)
    try:
        yield said
    finally:
        if hold is not None:
            hold.set()
        server.close()
        await server.wait_closed()
