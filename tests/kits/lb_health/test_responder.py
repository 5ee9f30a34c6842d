"""What the responder bears from strangers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from recovery_kits.lb_health import responder
from recovery_kits.lb_health.responder import LONGEST_REQUEST, MOST, Duty, reply
from tests.runtime.waiting import on_loop, until

REQUEST = b"GET /health HTTP/1.1\r\nHost: lb\r\n\r\n"


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, responder.Door]]:
    """A door on this loop, and its port."""
    door = responder.Door("/health")
    listener = responder.listen(Duty("127.0.0.1", 0, "/health"))
    server = await asyncio.start_server(door.serve, sock=listener, limit=LONGEST_REQUEST)
    async with server:
        yield listener.getsockname()[1], door
        await until(lambda: not door._open)


async def exchange(port: int, request: bytes) -> bytes:
    """What it answers until it closes; b"" also where it resets the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /health HTTP/1.1", b"200 OK"),
        (b"GET /health HTTP/1.0", b"200 OK"),
        (b"HEAD /health HTTP/1.1", b"200 OK"),
        (b"GET / HTTP/1.1", b"404 Not Found"),
        (b"GET /health/ HTTP/1.1", b"404 Not Found"),
        (b"GET /health?x=1 HTTP/1.1", b"404 Not Found"),
    ],
)
def test_only_the_path_is_answered_with_200(line: bytes, status: bytes) -> None:
    answer = reply(line + b"\r\nHost: lb\r\n\r\n", "/health")
    assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
    _, _, body = answer.partition(b"\r\n\r\n")
    assert bool(body) is not line.startswith(b"HEAD")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # a TLS client's first words
        b"POST /health HTTP/1.1\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /" + b"x" * LONGEST_REQUEST + b" HTTP/1.1\r\n\r\n",
        b"x" * 3 * LONGEST_REQUEST,
    ],
    ids=lambda garbage: repr(garbage[:16]),
)
@on_loop
async def test_garbage_is_closed_without_a_word_and_the_next_is_answered(garbage: bytes) -> None:
    async with serving() as (port, _):
        assert await exchange(port, garbage) == b""
        assert b" 200 " in await exchange(port, REQUEST)


@on_loop
async def test_who_says_nothing_is_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(responder, "PATIENCE_S", 0.05)
    async with serving() as (port, _):
        assert await exchange(port, b"GET /health HT") == b""


@on_loop
async def test_who_holds_connections_keeps_no_load_balancer_out() -> None:
    async with serving() as (port, door):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3 * MOST)]
        await until(lambda: len(door._open) == MOST)
        assert b" 200 " in await exchange(port, REQUEST)
        assert len(door._open) <= MOST
        for _, writer in held:
            writer.close()


@on_loop
async def test_a_request_in_pieces_is_answered() -> None:
    async with serving() as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for octet in REQUEST:
            writer.write(bytes([octet]))
            await writer.drain()
        assert b" 200 " in await reader.read()
        writer.close()
