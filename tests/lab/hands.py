"""What runs kits in a guest without an agent: answers requests over HTTP on SOCKET, one JSON body each.

    {"do": "restore", …} -> {"answer": …}, or {"error": "the reason of a KitError"}

Prints "ready" once it listens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from recovery_kits.contract import KitError

SOCKET = "/run/kagemusha/hands.sock"
Do = Callable[[dict[str, Any]], Awaitable[Any]]


async def answer(do: Do, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.partition("content-length:")[2].split("\r\n")[0])
    request = json.loads(await reader.readexactly(length))
    try:
        body = json.dumps({"answer": await do(request)})
    except KitError as error:
        body = json.dumps({"error": error.reason})
    writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode())
    await writer.drain()
    writer.close()


async def serve(do: Do) -> None:
    """Serve until the machine, or a signal, ends it."""
    Path(SOCKET).parent.mkdir(parents=True, exist_ok=True)
    Path(SOCKET).unlink(missing_ok=True)  # noqa: ASYNC240
    server = await asyncio.start_unix_server(lambda r, w: answer(do, r, w), SOCKET)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()
