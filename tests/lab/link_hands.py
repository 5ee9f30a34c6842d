"""Does in a guest what a test of the nbd links asks: `python -m tests.lab.link_hands VERB [JSON]`.

Prints the answer as one line of JSON, {"error": …, "errno": …} for an NbdError; `watch` prints one line
when it listens and one for each dead link.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from agent.runtime.process import Runner
from recovery_kits.mirror.links import DeadLinks, connect, connected, disconnect, find, reconfigure
from recovery_kits.mirror.listener import Export
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.negotiation import negotiate
from recovery_kits.mirror.server import Server

USER_TIMEOUT_MS = 600_000  # so long that only nbd's own limit for a request ends a link
NEGOTIATION_S, STOP_S = 60.0, 10.0


class Hands:
    """One method for each verb; what it returns is printed."""

    async def serve(self, **export: Any) -> None:
        await self._server(export).start()

    async def stop(self, **export: Any) -> None:
        await self._server(export).stop(limit_s=STOP_S)

    async def connect(self, address: str, port: int, name: str, identifier: str, timeout_s: int) -> int:
        session = await negotiate(address, port, name, limit_s=NEGOTIATION_S)
        with session.detach(user_timeout_ms=USER_TIMEOUT_MS) as sock:
            return await connect(
                sock,
                session.size_bytes,
                session.flags,
                identifier=identifier,
                request_timeout_s=timeout_s,
                dead_connection_timeout_s=3_600,
            )

    async def reconfigure(self, index: int, address: str, port: int, name: str, identifier: str) -> None:
        session = await negotiate(address, port, name, limit_s=NEGOTIATION_S)
        with session.detach(user_timeout_ms=USER_TIMEOUT_MS) as sock:
            await reconfigure(index, sock, identifier=identifier)

    async def disconnect(self, index: int) -> float:
        began = time.monotonic()
        await disconnect(index)
        return time.monotonic() - began

    async def connected(self, index: int) -> bool | None:
        return await connected(index)

    async def find(self, identifier: str) -> int | None:
        return find(identifier)

    async def watch(self) -> None:
        with await DeadLinks.listen() as links:
            print("listening", flush=True)
            while True:
                print(f"dead {await links.next()}", flush=True)

    def _server(self, export: dict[str, Any]) -> Server:
        export |= {"peers": tuple(export["peers"]), "listen": tuple(export["listen"])}
        return Server(Export(**export), Path("/run/kagemusha/nbd"), Runner(Path("/run/kagemusha/output")))


async def main(verb: str, arguments: str = "{}") -> None:
    """Do it."""
    try:
        answer = await getattr(Hands(), verb)(**json.loads(arguments))
    except NbdError as error:
        answer = {"error": str(error), "errno": error.errno}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
