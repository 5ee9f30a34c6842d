"""NBD servers for tests: the real one on loopback, and one that says what it was told to say."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from recovery_kits.contract import Run
from recovery_kits.mirror.listener import Export
from recovery_kits.mirror.relay.order import Credentials
from recovery_kits.mirror.relays import Relays
from recovery_kits.mirror.server import Server

IMAGE_BYTES = 3 << 20
GREETING = b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3)
ACK, INFO, REFUSED_UNKNOWN = 1, 3, (1 << 31) + 6


def free_port() -> int:
    """A TCP port of loopback that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def answer(kind: int, data: bytes = b"", *, length: int | None = None) -> bytes:
    """An answer to NBD_OPT_GO."""
    return struct.pack(">QIII", 0x3E889045565A9, 7, kind, len(data) if length is None else length) + data


def export(size_bytes: int, flags: int = 0b1101) -> bytes:
    """What describes the export among the answers."""
    return answer(INFO, struct.pack(">HQH", 0, size_bytes, flags))


@contextmanager
def saying(script: bytes, *, then: Literal["close", "silence", "repeat"] = "close") -> Iterator[int]:
    """The port of a server that says this to its one client, whatever it hears."""

    def serve() -> None:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):  # the client may have enough of it, and be gone
            client.sendall(script)
            while then == "repeat":
                time.sleep(0.1)
                client.sendall(script)
            if then == "close":
                client.shutdown(socket.SHUT_WR)
            while client.recv(65_536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


class Place:
    """A directory with an image, and servers of it that end with the test."""

    def __init__(self, directory: Path, run: Run) -> None:
        self.runtime, self.image, self._run = directory / "nbd", directory / "image", run
        self.image.write_bytes(
            b"".join(block.to_bytes(4, "big") * 128 for block in range(IMAGE_BYTES // 512))
        )
        self._servers = list[Server]()

    def export(
        self,
        name: str = "dir1",
        *,
        device: Path | None = None,
        peers: tuple[str, ...] = ("127.0.0.1",),
        port: int | None = None,
        tls: bool = False,
        mode: str = "sync",
    ) -> Export:
        """An export of the image to loopback."""
        return Export(
            name=name,
            device=str(device or self.image),
            peers=peers,
            listen=("127.0.0.1",),
            port=free_port() if port is None else port,
            tls=tls,
            mode=mode,
        )

    def server(self, export: Export, credentials: Credentials | None = None) -> Server:
        """What an agent that has just started makes of the export."""
        self._servers.append(Server(export, self.runtime, self._run, credentials))
        return self._servers[-1]

    def relays(
        self, credentials: Credentials | None = None, bound: tuple[int, int] = (1 << 20, 5_000)
    ) -> Relays:
        """What starts relays with these."""
        return Relays(self.runtime, self._run, lambda: credentials, bound)

    async def end(self) -> None:
        """Stop them all."""
        for server in self._servers:
            await server.stop()
