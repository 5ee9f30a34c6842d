"""The NULL call, against a server that answers what the test says."""

from __future__ import annotations

import asyncio
import struct

import pytest

from recovery_kits.nfs.call import null_call


async def call(answer: bytes) -> bytes:
    """What was sent; `answer` follows the call's xid."""
    heard = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard = await reader.readexactly(44)
        if answer:
            writer.write(struct.pack(">I", 0x8000_0000 | 4 + len(answer)) + heard[4:8] + answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, asyncio.timeout(10):
        await null_call("127.0.0.1", server.sockets[0].getsockname()[1])
    return heard


def test_a_server_that_answers_is_heard() -> None:
    heard = asyncio.run(call(struct.pack(">5I", 1, 0, 0, 0, 0)))
    assert struct.unpack(">11I", heard)[0] == 0x8000_0028
    assert struct.unpack(">11I", heard)[2:] == (0, 2, 100_003, 4, 0, 0, 0, 0, 0)


def test_another_answer_is_none() -> None:
    with pytest.raises(ValueError, match="an answer that is none"):
        asyncio.run(call(struct.pack(">5I", 1, 0, 0, 0, 1)))  # no such program
    with pytest.raises(ValueError, match="an answer that is none"):
        asyncio.run(call(struct.pack(">4I", 1, 1, 1, 1)))  # denied


def test_a_server_that_hangs_up_has_not_answered() -> None:
    with pytest.raises(OSError, match="closed the connection"):
        asyncio.run(call(b""))
