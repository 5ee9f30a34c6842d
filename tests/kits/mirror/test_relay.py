"""What the relay promises: a session inside TLS between nodes of one cluster, that ends with either side."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from recovery_kits.mirror.certificates import credentials
from recovery_kits.mirror.listener import Export
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.negotiation import Session, negotiate
from recovery_kits.mirror.relay.order import Credentials
from tests.kits.mirror.nbd_servers import GREETING, IMAGE_BYTES, Place, saying
from tests.kits.mirror.test_nbd_server import processes
from tests.runtime.waiting import on_loop, until

LIMIT_S = 20.0
OURS, OTHERS = bytes(range(32)), bytes(32)
NODE = credentials([OURS])
SECRET = b"a line of somebody's diary. " * 40


async def opened(
    place: Place, leg: Export, shown: Credentials | None, *, port: int = 0, limit_s: float = LIMIT_S
) -> Session:
    relays = place.relays(shown)
    where = port or leg.port
    return await relays.open("127.0.0.1", where, leg.name, limit_s=limit_s, user_timeout_ms=5_000)


def relays_of(place: Place) -> list[int]:
    """The pids of the relays that this test has started."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes()
        except OSError:
            continue
        if os.fsencode(place.runtime) in words and b"relay\0" in words:
            found.append(int(each.parent.name))
    return found


def started(place: Place) -> int:
    """How many relays there are, while none is just being started."""
    found = len(relays_of(place))
    return 0 if not found or any((place.runtime / ".relay").iterdir()) else found


def words(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


@asynccontextmanager
async def tapped(port: int, heard: bytearray) -> AsyncIterator[int]:
    """The port of somebody on the way to `port`, who keeps all bytes that pass."""

    async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            heard.extend(piece)
            writer.write(piece)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        further, back = await asyncio.open_connection("127.0.0.1", port)
        ways = [asyncio.create_task(one_way(reader, back)), asyncio.create_task(one_way(further, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for each in (writer, back):
            each.transport.abort()
        over.set()

    over = asyncio.Event()
    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(over.wait(), LIMIT_S)


def test_the_same_secret_makes_the_same_credentials_and_shows_none_of_them() -> None:
    assert credentials([OURS]) == NODE
    assert credentials([OTHERS]).certificate != NODE.certificate
    assert NODE.private_key not in repr(NODE)
    both = credentials([OTHERS, OURS])
    assert both.certificate == credentials([OTHERS]).certificate
    assert both.trusted == both.certificate + NODE.certificate


@on_loop
async def test_a_leg_is_read_and_written_by_way_of_a_relay_and_nobody_on_the_way_can_read_it(
    place: Place,
) -> None:
    leg, heard = place.export(tls=True), bytearray()
    place.image.write_bytes(SECRET + bytes(IMAGE_BYTES - len(SECRET)))
    await place.server(leg, NODE).start()
    async with tapped(leg.port, heard) as port, await opened(place, leg, NODE, port=port) as session:
        assert session.size_bytes == IMAGE_BYTES
        assert (await session.read(0, 2 << 20)).startswith(SECRET)
        with session.detach(user_timeout_ms=5_000) as sock:
            await asyncio.to_thread(_write, sock, 4_096, SECRET)
    assert place.image.read_bytes()[4_096:].startswith(SECRET)
    assert len(heard) > 2 << 20
    assert heard.startswith(GREETING)  # it did hear
    assert SECRET[:28] not in heard
    assert b"dir1" not in heard


def _write(sock: socket.socket, offset: int, data: bytes) -> None:
    """As the kernel does with a socket that it was given."""
    sock.settimeout(LIMIT_S)
    sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 1, 7, offset, len(data)) + data)
    assert sock.recv(16, socket.MSG_WAITALL) == struct.pack(">IIQ", 0x67446698, 0, 7)


@on_loop
async def test_without_tls_the_same_bytes_can_be_read_on_the_way(place: Place) -> None:
    leg, heard = place.export(), bytearray()
    place.image.write_bytes(SECRET + bytes(IMAGE_BYTES - len(SECRET)))
    await place.server(leg).start()
    async with tapped(leg.port, heard) as port, await opened(place, leg, None, port=port) as session:
        await session.read(0, 4_096)
    assert SECRET in heard


@on_loop
async def test_another_cluster_s_key_is_refused_by_either_end(place: Place) -> None:
    leg, strange = place.export(tls=True), credentials([OTHERS])
    await place.server(leg, NODE).start()
    with pytest.raises(NbdError, match=r"TLS: certificate verify failed: do all nodes have the same"):
        await opened(place, leg, strange)
    # One that would believe anybody: the server doesn't believe it.
    gullible = Credentials(strange.certificate, strange.private_key, NODE.trusted)
    with pytest.raises(NbdError, match=r"TLS|closed the connection|reset"):
        await opened(place, leg, gullible)
    async with await opened(place, leg, NODE) as session:
        assert len(await session.read(0, 512)) == 512


@on_loop
async def test_a_key_is_rotated_without_a_word_in_the_clear(place: Place) -> None:
    leg = place.export(tls=True)
    await place.server(leg, NODE).start()
    rotated = place.server(leg, credentials([OTHERS, OURS]))
    assert await rotated.running()
    with pytest.raises(NbdError):
        await opened(place, leg, credentials([OTHERS, OURS]))  # the server has it not yet
    await rotated.renew()
    for secrets in ([OURS, OTHERS], [OTHERS, OURS], [OTHERS]):
        async with await opened(place, leg, credentials(secrets)) as session:
            assert len(await session.read(0, 512)) == 512


@on_loop
async def test_an_end_without_tls_is_told_what_differs(place: Place) -> None:
    closed, clear = place.export(tls=True), place.export("dir2")
    await place.server(closed, NODE).start()
    await place.server(clear).start()
    with pytest.raises(NbdError, match="wants TLS: `tls` differs"):
        await negotiate("127.0.0.1", closed.port, "dir1", limit_s=LIMIT_S)
    with pytest.raises(NbdError, match="wants TLS: `tls` differs"):
        await opened(place, closed, None)
    with pytest.raises(NbdError, match="has no TLS: `tls` differs"):
        await opened(place, clear, NODE)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (b"", "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no NBD server"),
        (GREETING + struct.pack(">QIII", 0x3E889045565A9, 5, 1, 0) + bytes(99), "TLS: "),
        (GREETING + struct.pack(">QIII", 0x3E889045565A9, 5, (1 << 31) + 1, 0), "has no TLS"),
    ],
)
@on_loop
async def test_a_broken_server_gives_one_clear_error(place: Place, script: bytes, reason: str) -> None:
    with saying(script) as port, pytest.raises(NbdError, match=rf"^127\.0\.0\.1:\d+/dir1: .*{reason}"):
        await opened(place, place.export(tls=True), NODE, port=port)
    await until(lambda: not relays_of(place))


@on_loop
async def test_a_silent_server_is_waited_for_no_longer_than_the_limit(place: Place) -> None:
    with saying(GREETING, then="silence") as port, pytest.raises(NbdError, match=r"no answer within 0\.3 s"):
        await opened(place, place.export(tls=True), NODE, port=port, limit_s=0.3)


@on_loop
async def test_a_relay_that_does_not_start_is_told(place: Place) -> None:
    place.runtime.write_text("no directory")
    with pytest.raises((NbdError, OSError)):
        await opened(place, place.export(), NODE)


@on_loop
async def test_a_relay_is_nobody_s_child_and_ends_with_its_socket(place: Place) -> None:
    leg = place.export(tls=True)
    await place.server(leg, NODE).start()
    session = await opened(place, leg, NODE)
    (pid,) = relays_of(place)
    assert os.getsid(pid) != os.getsid(0)
    assert "PRIVATE" not in words(pid)
    assert os.listdir(place.runtime / ".relay") == []  # noqa: PTH208
    with session.detach(user_timeout_ms=5_000) as sock:
        await processes(place, leg, children=1)
        assert relays_of(place) == [pid]
        assert sock.family == socket.AF_UNIX
    await until(lambda: not relays_of(place))
    await processes(place, leg)  # and the server of this connection has gone, too


@on_loop
async def test_one_that_is_kept_ready_serves_the_next_session_and_no_agent_leaves_it_behind(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recovery_kits.mirror.relays._PAUSE_S", 0)
    leg, relays, log = place.export(tls=True), place.relays(NODE), list[str]()
    await place.server(leg, NODE).start()
    keeping = asyncio.create_task(relays.keep_ready(leg.name, log.append))
    await until(lambda: started(place) == 1)
    (ready,) = relays_of(place)
    address = ("127.0.0.1", leg.port, leg.name)
    async with await relays.open(*address, limit_s=LIMIT_S, user_timeout_ms=5_000) as session:
        await until(lambda: started(place) == 2)
        os.kill(next(pid for pid in relays_of(place) if pid != ready), signal.SIGKILL)
        assert len(await session.read(0, 512)) == 512  # by the one that was ready
        keeping.cancel()
        await asyncio.wait({keeping})
    await until(lambda: not relays_of(place))
    assert log == []


@pytest.mark.parametrize("who", ["relay", "server"])
@on_loop
async def test_a_killed_relay_is_a_dead_link_and_so_is_a_killed_server(place: Place, who: str) -> None:
    leg = place.export(tls=True)
    await place.server(leg, NODE).start()
    session = await opened(place, leg, NODE)
    assert len(await session.read(0, 512)) == 512
    _, served = await processes(place, leg, children=1)
    (pid,) = relays_of(place)
    with session.detach(user_timeout_ms=5_000) as sock:
        os.kill(pid if who == "relay" else served.pid, signal.SIGKILL)
        sock.settimeout(LIMIT_S)
        assert await asyncio.to_thread(_ended, sock)
    await until(lambda: not relays_of(place))
    async with await opened(place, leg, NODE) as again:
        assert len(await again.read(0, 512)) == 512


def _ended(sock: socket.socket) -> bool:
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
