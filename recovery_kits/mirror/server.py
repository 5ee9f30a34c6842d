"""The target's nbd-server for one leg: it serves one block device to the peers, and nobody else.

Invariants:
- it outlives the agent: a session of its own; an agent that restarts finds it by its command line;
- the name of its configuration file holds a digest of what is in it, so what a running server was told
  is known, and other parameters mean another server;
- strangers are refused even when the list of peers is lost: nbd-server alone would let everybody in;
- stopped means that no process of it is left which could still write;
- a new client has the device to itself: what an earlier connection may still write is over by then, for
  it would overwrite what the new one brings. There is one source, so an earlier connection is a dead one.

Needs root. The directory is to be in memory (/run): it is read and written in the event loop.
Source: nbd-server(5), and the source of nbd-server 3.24.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shlex
import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from recovery_kits.contract import CommandFailed, Run
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.negotiation import greet
from recovery_kits.mirror.serving import PROGRAM, Serving, kill, serving

_NAME = re.compile(r"(?!generic$)[A-Za-z0-9][A-Za-z0-9._-]*")
_UNSAFE = re.compile(r"[\x00-\x1f\\%]")  # in the configuration file, or in a command of it
# Run by nbd-server's child for a client (its pid is $PPID) before it serves: ends the other children.
_ALONE = """\
read -r _ _ _ up _ </proc/$PPID/stat; \
for other in $(cat /proc/$up/task/$up/children); do \
[ $other = $PPID ] && continue; kill -9 $other; n=0; \
while [ -e /proc/$other/exe ]; do n=$((n+1)); [ $n -lt 50 ] || exit 1; sleep 0.1; done; \
done"""
_POLL_S = 0.05
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (where to reach who listens there)


@dataclass(frozen=True, kw_only=True)
class Export:
    """What a server serves; raises ValueError for what nbd-server can't be told."""

    name: str  # letters, digits, `.`, `_` and `-`; a client asks for it
    device: str  # the block device's path
    peers: tuple[str, ...]  # addresses that may connect
    listen: tuple[str, ...]  # addresses of this node, which it must have when the server starts
    port: int
    sync: bool  # an answered write is durable; else only an answered flush is

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name}: an export's name can't be this")
        if not self.device.startswith("/") or _UNSAFE.search(self.device):
            raise ValueError(f"{self.device}: a device's path can't be this")
        if not self.peers or not self.listen:
            raise ValueError(f"{self.name}: who may connect, and where, must be said")
        for address in (*self.peers, *self.listen):
            ip_address(address)

    def config(self, allowed: Path) -> str:
        """What the configuration file says; `allowed` lists the peers."""
        return f"""\
[generic]
port = {self.port}
listenaddr = {", ".join(self.listen)}

[{self.name}]
exportname = {self.device}
virtstyle = none
authfile = {allowed}
prerun = grep -q . {shlex.quote(str(allowed))} || exit 1; {_ALONE}
sync = {str(self.sync).lower()}
flush = true
fua = true
trim = false
"""


class Server:
    """The nbd-server of one export; its files lie in a directory of the export's name."""

    def __init__(self, export: Export, runtime: Path, run: Run) -> None:
        assert not _UNSAFE.search(str(runtime)), runtime
        self.export, self._run = export, run
        self._directory = runtime / export.name
        self._peers = "".join(f"{peer}\n" for peer in export.peers)
        said = export.config(Path("allowed")) + self._peers
        stem = hashlib.sha256(said.encode()).hexdigest()[:16]
        self._config, self._allowed = self._directory / f"{stem}.conf", self._directory / f"{stem}.allowed"

    async def start(self, *, limit_s: float = 90.0) -> None:
        """Have the server running with these parameters, and greeting. Raises NbdError.

        One with other parameters is stopped first, and so is one of which only children are left. It may
        take long before it greets (it makes up a Diffie-Hellman group first), hence the limit.
        """
        running = await self.running()
        if not running:
            await self.stop()
            self._check_addresses()
        self._write_files()
        if not running:
            await self._launch()
        await self._greeting(limit_s)

    async def running(self) -> bool:
        """Whether a server with just these parameters listens."""
        return any(each.listens and each.config == self._config for each in await self._processes())

    async def probe(self, *, limit_s: float) -> None:
        """Have it greet; disturbs nobody. Raises NbdError when it doesn't within the limit."""
        address = self.export.listen[0]
        await greet(_ANYWHERE.get(address, address), self.export.port, limit_s=limit_s)

    async def disconnect_clients(self, *, limit_s: float = 5.0) -> None:
        """End each connection; what a client sent on it is written by now or never. Raises NbdError.

        To be done before a client that lost its connection opens another one: a write that is late on
        the old one would overwrite what it wrote on the new one.
        """
        await kill([each for each in await self._processes() if not each.listens], limit_s=limit_s)

    async def stop(self, *, limit_s: float = 5.0) -> None:
        """Return when no process of this export's server is left, whatever its parameters were.

        Raises NbdError when one can't be killed in time: it waits for the device in the kernel, and
        may still write. With `sync` every answered write is durable by then, else what was answered is
        in this node's page cache.
        """
        until = asyncio.get_running_loop().time() + limit_s
        while processes := await self._processes():  # again: it may have had another child meanwhile
            await kill(processes, limit_s=until - asyncio.get_running_loop().time())
        with suppress(FileNotFoundError):
            shutil.rmtree(self._directory)

    async def _processes(self) -> list[Serving]:
        return await serving(self._directory)

    async def _launch(self) -> None:
        """Start it; it detaches itself. Its own pid file isn't used, and must not be the system's."""
        try:
            await self._run(PROGRAM, "-C", str(self._config), "-p", str(self._directory / "pid"))
        except (CommandFailed, FileNotFoundError) as error:
            raise self._error(str(error)) from error

    async def _greeting(self, limit_s: float) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        while True:
            try:
                await self.probe(limit_s=max(until - loop.time(), _POLL_S))
            except NbdError as error:
                if not await self._processes():  # at first it hasn't detached itself, and isn't `running`
                    raise self._error(f"{PROGRAM} ended again; the system's log says why") from error
                if loop.time() >= until:
                    raise
                await asyncio.sleep(_POLL_S)  # it doesn't listen yet
            else:
                return

    def _check_addresses(self) -> None:
        """Raise what binding to its addresses would; nbd-server tells that only to the log."""
        for address in self.export.listen:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    sock.bind((address, self.export.port))
                except OSError as error:
                    where = f"{address} port {self.export.port}"
                    raise NbdError(
                        self.export.name, f"{where}: {error.strerror}", error.errno or 0
                    ) from error

    def _write_files(self) -> None:
        """Write both files, each at once, unless they are there. Raises NbdError."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._allowed, self._peers)
            _write(self._config, self.export.config(self._allowed))
        except OSError as error:
            raise self._error(f"{error.filename}: {error.strerror}") from error

    def _error(self, reason: str) -> NbdError:
        return NbdError(self.export.name, reason)


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_text(text)
    new.replace(path)
