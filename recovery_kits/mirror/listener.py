"""Listens for the clients of one leg, and gives each a server process of its own: nbdkit.

Keeps:
- the device has one client: a new one is served when the earlier one's server is gone, and never before.
  What an earlier connection still held would overwrite what the new one brings; there is one source, so
  an earlier connection is a dead one;
- a stranger is closed before anything is said, and disturbs nobody;
- in mode sync a write is answered when it is durable, in mode async a flush is. There is one request at a
  time: Linux tells a failed flush once to each open file, and another thread's write on the same file, that
  failed with it, would be answered as if it were durable;
- in mode sync no error is answered: md would go on without this copy before anybody has agreed to that. What
  failed is tried again, a write together with its flush, until the client has enough of it. In mode async the
  client is a relay, which ends at an error, and what a flush was for can't be tried again.

A program: `python -I -S listener.py DIRECTORY EXPORT`, the export in JSON. It ends with 0 when it listens,
and goes on in a session of its own. It needs the standard library alone: an agent that is being replaced
takes nothing away from it.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
import syslog
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path

PROGRAM = "nbdkit"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WAITING = 16  # clients that aren't accepted yet
_END_S = 5.0  # for a killed server to be gone: it may wait for the disk
# 1,000 s, the most there is; the kernel ends a connection that owes it an answer for half of dead_after.
_NO_ERRORS = ("retry-request-retries=1000", "retry-request-delay=1", "retry-request-open=false")


@dataclass(frozen=True, kw_only=True)
class Export:
    """What is served, and to whom; raises ValueError for what can't be."""

    name: str  # letters, digits, `.`, `_` and `-`; a client asks for it
    device: str  # the block device's path
    peers: tuple[str, ...]  # addresses that may connect
    listen: tuple[str, ...]  # addresses of this node, which it must have when the listener starts
    port: int
    mode: str = "sync"  # "async": a client's flush makes its writes durable, else each is by itself
    undrained: str = ""  # the leg that was here when this node, as a source, hadn't sent everything
    tls: bool = False  # nothing is said without; the server's directory has the certificates

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name}: an export's name can't be this")
        if not self.device.startswith("/") or "\0" in self.device:
            raise ValueError(f"{self.device}: a device's path can't be this")
        if not self.peers or not self.listen:
            raise ValueError(f"{self.name}: who may connect, and where, must be said")
        for address in (*self.peers, *self.listen):
            ip_address(address)

    def text(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


def main(directory: str, text: str) -> None:
    """Listen, or end with the reason on stderr."""
    export = Export(**json.loads(text))
    program = shutil.which(PROGRAM)
    if program is None:
        sys.exit(f"there is no {PROGRAM}")
    listeners = [_listener(address, export.port) for address in export.listen]
    Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.fork():
        return
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    serve(export, listeners, server_command(program, directory, export))


def server_command(program: str, directory: str, export: Export) -> tuple[str, ...]:
    """Serves the client that is its standard input and output; nbdkit(1) and its filters' pages."""
    sync = export.mode == "sync"
    return (
        *(program, "-s", "-P", f"{directory}/pid"),  # the file is how it is known: serving.py
        *("--threads", "1", "--log=syslog"),
        *(("--tls=require", f"--tls-certificates={directory}", "--tls-verify-peer") if export.tls else ()),
        *("--filter=exportname", *(("--filter=retry-request",) if sync else ()), "--filter=fua"),
        *("file", f"file={export.device}", *(_NO_ERRORS if sync else ())),
        f"fuamode={'force' if sync else 'native'}",
        *("exportname-strict=true", f"exportname={export.name}"),
        f"exportdesc=fixed:{export.mode} {export.undrained}",
    )


def serve(export: Export, listeners: list[socket.socket], command: tuple[str, ...]) -> None:
    """Give each client its server, until killed; an ended server stays a zombie until the next client."""
    peers = {ip_address(peer) for peer in export.peers}
    server: subprocess.Popen[bytes] | None = None
    with selectors.DefaultSelector() as selector:
        for listener in listeners:
            selector.register(listener, selectors.EVENT_READ, listener)
        while True:
            for key, _ in selector.select():
                try:
                    client, address = key.data.accept()
                except OSError:  # the client has left already
                    continue
                with client:
                    if ip_address(address[0]) in peers and _is_gone(server, export):
                        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        server = subprocess.Popen(command, stdin=client, stdout=client)


def _is_gone(server: subprocess.Popen[bytes] | None, export: Export) -> bool:
    """Kill it; whether nothing of it is left that may still write. The client tries again if not."""
    if server is None:
        return True
    server.kill()
    try:
        server.wait(_END_S)
    except subprocess.TimeoutExpired:
        syslog.syslog(f"{export.name}: process {server.pid} was killed and isn't gone; no client is served")
        return False
    return True


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listener = socket.create_server((address, port), family=family, backlog=_WAITING)
    except OSError as error:
        sys.exit(f"{address} port {port}: {os.strerror(error.errno or 0)}")
    listener.setblocking(False)  # a client may have left between select and accept
    return listener


if __name__ == "__main__":
    main(*sys.argv[1:])
