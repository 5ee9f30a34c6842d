"""Starts relays (see `recovery_kits.mirror.relay`): a session whose other end is a process of its own.

Keeps:
- a relay lives as long as the socket that it was started for, whoever holds it: this agent at first, then
  the kernel. So none is left behind, and an agent that restarts has nothing to look for;
- one is kept ready where the mirror is in service: a connection that died must be replaced before writes have
  waited too long, and to load an interpreter and TLS takes seconds on a busy machine.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from recovery_kits.contract import CommandFailed, Run
from recovery_kits.mirror import relay
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.negotiation import Session
from recovery_kits.mirror.relay.order import LINE_BYTES, Behindhand, Credentials, Order, answered
from recovery_kits.mirror.serving import FLAGS
from recovery_kits.mirror.wire import Wire

_PROGRAM = Path(relay.__file__).parent
_START_S = 30.0  # for an interpreter; it takes a tenth of a second
_PAUSE_S = 5.0  # before another spare one: the one that was taken connects first


class Relays:
    """What starts the relays of one mirror; `credentials` are asked for at each connection."""

    def __init__(
        self,
        directory: Path,
        run: Run,
        credentials: Callable[[], Credentials | None],
        bound: tuple[int, int],
    ) -> None:
        """`directory`: in memory (/run); `bound`: how many bytes and milliseconds a target may be behind."""
        self._bound = bound
        self._directory = directory / ".relay"  # no mirror's: their names begin with a letter or digit
        self._run, self._credentials = run, credentials
        self._spare: socket.socket | None = None  # of a relay that waits for its order
        self._taken, self._starting = asyncio.Event(), asyncio.Lock()

    async def keep_ready(self, export: str, log: Callable[[str], None]) -> None:
        """Until cancelled: have a relay loaded for whoever opens the next session."""
        try:
            while True:
                try:
                    async with self._starting:
                        self._spare = await self._start(export)
                        self._taken.clear()
                    await self._taken.wait()
                except NbdError as trouble:
                    log(f"no relay is ready: {trouble}")
                await asyncio.sleep(_PAUSE_S)
        finally:
            if spare := self._take():
                spare.close()

    def _take(self) -> socket.socket | None:
        """The one that is ready."""
        taken, self._spare = self._spare, None
        self._taken.set()
        return taken

    async def open(
        self,
        address: str,
        port: int,
        export: str,
        *,
        limit_s: float,
        user_timeout_ms: int,
        local: str | None = None,
        behind: Path | None = None,
    ) -> Session:
        """As `negotiate`, by way of a relay; with a directory `behind` one that answers before it sends.

        Raises NbdError, after `limit_s` and its start at the latest.
        """
        order = Order(
            address=address,
            port=port,
            export=export,
            local=local,
            limit_s=limit_s,
            user_timeout_ms=user_timeout_ms,
            credentials=self._credentials(),
            behind=None if behind is None else Behindhand(*self._bound, str(behind)),
        )
        async with self._starting:
            sock = self._take() or await self._start(export)
        # Its own word about what failed comes before this limit.
        wire = Wire(sock, f"{export}: its relay", limit_s + _START_S)
        async with wire.step():
            await wire.send(order.line())
            found = answered(await wire.line(LINE_BYTES))
        return Session(wire, found)

    async def _start(self, export: str) -> socket.socket:
        """A new relay's other end."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / f"{secrets.token_hex(4)}.relay"  # a socket's path must be short
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.setblocking(False)
            listener.bind(str(path))
            try:
                listener.listen(1)
                async with asyncio.timeout(_START_S):
                    await self._run(sys.executable, *FLAGS, str(_PROGRAM), str(path), export)
                    sock, _ = await asyncio.get_running_loop().sock_accept(listener)
            except TimeoutError:
                raise NbdError(export, f"its relay doesn't start within {_START_S:g} s") from None
            except (CommandFailed, OSError) as error:
                raise NbdError(export, f"its relay doesn't start: {error}") from error
            finally:
                path.unlink()
        return sock
