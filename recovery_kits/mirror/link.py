"""The network block device of one other node's leg, through all its connections.

Keeps: a device is found again by its identifier; nothing that isn't ours is ever touched. The kernel gets
a connection only after the leg behind it was looked at (the caller does that, on the `Session`).
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from ipaddress import ip_address
from pathlib import Path

from recovery_kits.mirror import links
from recovery_kits.mirror.answers import Answers, answers
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.negotiation import Session, negotiate
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.relays import Relays

_DEAD_CONNECTION_S = 24 * 3_600  # requests wait for us to decide; md would fail the leg at the first error
_PATIENT_S = 3_600  # a relay that answers at its own time: whether it does is for the agent to judge
_ESTABLISHED = "01"  # in /proc/net/tcp


class Link:
    """The way to one node's leg."""

    def __init__(self, place: Place, node: str, relays: Relays | None = None) -> None:
        """With `relays` the connections go through them."""
        self.node, self._place, self._relays = node, place, relays
        self._addresses, self._at = place.peers[node], 0
        self._identifier = place.identifier(node)
        self.index: int | None = None  # of the device, while there is one
        self.dead = False  # the kernel has lost the connection
        self.behind: Path | None = None  # where the relay of the next connection records what it hasn't sent
        self.heard_all = False  # since the device was connected; else it may be dead without our knowing

    @property
    def device(self) -> str:
        """The name of its block device, such as "nbd0"; "" while there is none."""
        return "" if self.index is None else f"nbd{self.index}"

    @property
    def address(self) -> str:
        """The address in use, or that was tried last."""
        return self._addresses[self._at]

    def find(self) -> None:
        """See which device is ours; raises NbdError."""
        found = links.find(self._identifier)
        if found != self.index:
            self.index, self.dead, self.heard_all = found, False, False
            connected = _connected(self._addresses, self._place.port)
            self._at = self._addresses.index(connected) if connected else self._at

    async def open(self, *, limit_s: float) -> Session:
        """A session over the first address that answers within `limit_s`; raises NbdError."""
        for at in range(len(self._addresses)):
            try:
                return await self._open(at, limit_s)
            except NbdError:
                if at == len(self._addresses) - 1:
                    raise
        raise NbdError(self.node, "it has no address")

    async def open_other(self, *, limit_s: float) -> Session:
        """A session over the address after the one in use: that one has just failed."""
        return await self._open((self._at + 1) % len(self._addresses), limit_s)

    async def connect(self, session: Session) -> None:
        """Make a device of a session."""
        size_bytes, flags = session.size_bytes, session.flags
        with self._detached(session) as sock:
            self.index = await links.connect(
                sock,
                size_bytes,
                flags,
                identifier=self._identifier,
                # What was sent on a dead connection is sent on the next one only when this time is over.
                request_timeout_s=_PATIENT_S if self.behind else max(1, self._place.dead_after_ms // 2_000),
                dead_connection_timeout_s=_DEAD_CONNECTION_S,
            )
        self.dead, self.heard_all = False, True

    async def reconnect(self, session: Session) -> None:
        """Give the device another connection for the dead one; what waits goes on. Raises NbdError."""
        assert self.index is not None
        self.dead = False  # before: what comes next may die at once
        with self._detached(session) as sock:
            try:
                await links.reconfigure(self.index, sock, identifier=self._identifier)
            except NbdError as error:
                self.dead = error.errno != errno.EALREADY
                raise
        self.heard_all = True

    async def disconnect(self) -> None:
        """Take the connection away: what waits fails. Nothing to take away is success."""
        self.find()
        if self.index is not None:
            await links.disconnect(self.index)

    def flush(self) -> None:
        """Have the leg answer a flush; blocks until it does. Raises OSError."""
        descriptor = os.open(f"/dev/{self.device}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def answers(self) -> Answers:
        """How its device has answered so far."""
        return answers(self.device)

    async def _open(self, at: int, limit_s: float) -> Session:
        self._at = at
        place, own = self._place, self._place.own_addresses[at : at + 1]  # the same comm path's
        local = own[0] if own else None
        if self._relays is None:
            session = await negotiate(self.address, place.port, place.tag, limit_s=limit_s, local=local)
            return self._of_one_mode(session)
        session = await self._relays.open(
            self.address,
            place.port,
            place.tag,
            limit_s=limit_s,
            user_timeout_ms=self._user_timeout_ms,
            local=local,
            behind=self.behind,
        )
        return self._of_one_mode(session)

    def _of_one_mode(self, session: Session) -> Session:
        mode = session.description.partition(" ")[0]
        if mode != self._place.mode:
            session.close()
            why = f"it serves in mode {mode or 'unknown'}, and here the mode is {self._place.mode}"
            raise NbdError(self.node, f"{why}: their configurations differ")
        return session

    @property
    def _user_timeout_ms(self) -> int:
        """In so long a dead peer is noticed: in time to try another address."""
        return max(500, self._place.dead_after_ms * 2 // 5)

    def _detached(self, session: Session) -> socket.socket:
        return session.detach(user_timeout_ms=self._user_timeout_ms)


def _connected(addresses: tuple[str, ...], port: int) -> str | None:
    """To which of these addresses a connection stands, the kernel's own ones included."""
    standing = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (Path("/proc/net") / table).read_text().splitlines()[1:]
        except FileNotFoundError:  # no IPv6 here
            continue
        standing |= {fields[2] for fields in map(str.split, lines) if fields[3] == _ESTABLISHED}
    return next((address for address in addresses if f"{_in_hex(address)}:{port:04X}" in standing), None)


def _in_hex(address: str) -> str:
    """As /proc/net/tcp writes it: words of four bytes, each as a number of this machine's."""
    packed = ip_address(address).packed
    words = (packed[at : at + 4] for at in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
