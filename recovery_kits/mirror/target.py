"""Offers this node's leg to the others while the mirror is in service elsewhere, or nowhere.

Keeps:
- a leg is served only while no array runs on it here, and a disk that isn't ours is never served;
- the server outlives this: whoever stops it says so (`end`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from recovery_kits.contract import CommandFailed, Tools
from recovery_kits.mirror.array import Array, ArrayState
from recovery_kits.mirror.disk import Disk, Holds
from recovery_kits.mirror.listener import Export
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.relay.order import Credentials
from recovery_kits.mirror.server import Server
from recovery_kits.mirror.users import users

_LOOK_S = 1.0
_PAUSES_S = (1.0, 2.0, 5.0, 10.0)  # after each failure in a row: the disk is read each time


class Target:
    """This node's leg, served."""

    def __init__(
        self,
        place: Place,
        array: Array,
        tools: Tools,
        look: Callable[[], Awaitable[Disk]],
        credentials: Callable[[], Credentials | None] = lambda: None,
    ) -> None:
        """`look` reads the disk; with `credentials` it is served over TLS alone."""
        self._credentials = credentials
        self._place, self._array, self._tools = place, array, tools
        self._look = look
        self.busy = asyncio.Lock()  # held by whoever changes what is on the disk, or who uses it
        self.serving = False
        self.state = ""  # of the disk, while it isn't served: "blank", "foreign", …
        self.why = ""  # it isn't served
        self.undrained = ""  # see Export

    async def stand_by(self) -> None:
        """Until cancelled; then the server goes on. It is looked after, and started again if it ended."""
        failures = 0
        while True:
            try:
                async with self.busy:
                    await self._serve()
            except (Unfit, CommandFailed, NbdError, OSError) as trouble:
                self._tell(str(trouble))
                pause_s = _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
                failures += 1
            else:
                self.why, self.serving, pause_s, failures = "", True, _LOOK_S, 0
            await asyncio.sleep(pause_s)

    async def end(self) -> None:
        """Return when nobody can write to the leg through us any more; raises NbdError."""
        self.serving = False
        await self._server(self._place.own_addresses).stop()

    async def _serve(self) -> None:
        if (state := await self._array.state()) is not None:
            await self._stop(state)
        server = self._server(_present(self._place.own_addresses))
        if await server.running():
            await server.renew()
            return
        disk = await self._look()
        self.state = disk.holds.value
        if disk.holds not in {Holds.LEG, Holds.BLANK}:
            raise Unfit(disk.why)
        if using := users(self._place.disk_name):
            raise Unfit(f"{self._place.disk} is in use: {', '.join(using)}")
        await server.start()
        self._tools.log(f"{self._place.disk} is served to {', '.join(self._place.peers)}")

    async def _stop(self, state: ArrayState) -> None:
        """Something has assembled it, though it is out of service here."""
        if using := users(state.name):
            await self.end()
            raise Unfit(f"/dev/{state.name} runs here and is in use: {', '.join(using)}")
        self._tools.log(f"/dev/{state.name} ran here, out of service: stopped")
        await self._array.stop()

    def _server(self, listen: tuple[str, ...]) -> Server:
        peers = tuple(address for found in self._place.peers.values() for address in found)
        if not listen or not peers:
            raise Unfit("no address of this node, or of another, is known or up")
        export = Export(
            name=self._place.tag,
            device=self._place.disk,
            peers=peers,
            listen=listen,
            port=self._place.port,
            tls=(shown := self._credentials()) is not None,
            mode=self._place.mode,
            undrained=self.undrained,
        )
        return Server(export, self._place.runtime, self._tools.run, shown)

    def _tell(self, why: str) -> None:
        if why != self.why:
            self._tools.log(f"its copy isn't served: {why}")
        self.why, self.serving = why, False


class Unfit(Exception):
    """The leg can't be served now."""


def _present(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Those that this node has: one network that is down must not take the others along."""
    found = []
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind((address, 0))
            except OSError:
                continue
            found.append(address)
    return tuple(found)
