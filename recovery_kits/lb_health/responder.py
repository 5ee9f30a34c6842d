"""Answers health checks on one port: a process of its own, so that strangers never meet the agent's loop.

Keeps:
- whoever connects is given PATIENCE_S and LONGEST_REQUEST bytes; MOST connections are open at a time, and
  one more closes the oldest: who holds connections keeps no load balancer out;
- what isn't a request is closed without a word;
- it outlives the agent, for what is in service goes on without one: an agent that restarts finds it.

A program: `python -I -S responder.py OWNER DUTY`, the duty in JSON. It ends with 0 when it listens, and goes
on in a session of its own. It needs the standard library alone: an agent that is being replaced takes
nothing away from it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

MOST = 64  # connections at a time; a load balancer has one or two for each of its zones
PATIENCE_S = 3.0
LONGEST_REQUEST = 4_096  # bytes, up to the empty line
_REQUEST = re.compile(rb"(GET|HEAD) (/[!-~]*) HTTP/1\.[01]\r\n")
_WAITING = 16  # connections that aren't accepted yet
NAME = "lb-health"  # of the process, in /proc/PID/comm


@dataclass(frozen=True)
class Duty:
    """What a responder does, as its command line says it."""

    address: str  # to listen on
    port: int
    path: str | None  # that is answered with 200; None: connecting is all that is asked

    def text(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


class Door:
    """Serves whoever connects."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._open: dict[asyncio.WriteTransport, None] = {}  # the oldest first

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, and close it."""
        if len(self._open) >= MOST:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest.abort()
        self._open[writer.transport] = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self._path is not None:
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(reply(head, self._path))
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._open.pop(writer.transport, None)
            writer.close()


def reply(head: bytes, path: str) -> bytes:
    """The answer to a request's head: 200 for that path, 404 for others, nothing to what is no request."""
    request = _REQUEST.match(head)
    if request is None:
        return b""
    method, wanted = request.groups()
    right = wanted == path.encode()
    status, body = ("200 OK", b"in service\n") if right else ("404 Not Found", b"not here\n")
    said = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    )
    return said.encode() + (body if method == b"GET" else b"")


def listen(duty: Duty) -> socket.socket:
    """The listening socket; raises OSError."""
    family = socket.AF_INET6 if ":" in duty.address else socket.AF_INET
    return socket.create_server((duty.address, duty.port), family=family, backlog=_WAITING)


async def serve(duty: Duty, listener: socket.socket) -> None:
    """Serve until killed."""
    door = Door(duty.path)
    server = await asyncio.start_server(door.serve, sock=listener, limit=LONGEST_REQUEST, backlog=_WAITING)
    await server.serve_forever()


def main(_owner: str, text: str) -> None:
    """Listen, or end with the reason on stderr."""
    duty = Duty(**json.loads(text))
    Path("/proc/self/comm").write_text(NAME)
    try:
        listener = listen(duty)
    except OSError as error:
        sys.exit(f"{duty.address} port {duty.port}: {os.strerror(error.errno or 0)}")
    if os.fork():
        return
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    asyncio.run(serve(duty, listener))


if __name__ == "__main__":
    main(*sys.argv[1:])
