"""TCP connections that a thread talks over, and that the event loop cuts when their time is up.

The time-out of a socket bounds each read alone: who sends a byte now and then could keep a thread for ever.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from recovery_kits.blocking import Blocking

T = TypeVar("T")


class Line:
    """One connection; `open` is for the thread that talks, `cut` for anybody, at any time."""

    def __init__(self, limit_s: float) -> None:
        self._until = time.monotonic() + limit_s
        self._lock = threading.Lock()
        self._handle: socket.socket | None = (
            None  # a second one: the first one's number may be another's by now
        )
        self._is_cut = False

    def open(self, host: str, port: int, context: ssl.SSLContext | None = None) -> socket.socket:
        """Connect, and agree on TLS by `context`; raises OSError. The caller closes the socket."""
        left_s = max(self._until - time.monotonic(), 0.001)
        opened = socket.create_connection((host, port), timeout=left_s)
        try:
            with self._lock:
                if self._is_cut:
                    raise TimeoutError("its time was up before it was connected")
                self._handle = opened.dup()
            return context.wrap_socket(opened, server_hostname=host) if context else opened
        except OSError:
            opened.close()
            raise

    def cut(self) -> None:
        """End it: whoever reads or writes there fails at once."""
        with self._lock:
            self._is_cut, handle, self._handle = True, self._handle, None
        if handle is not None:
            with handle:
                try:
                    handle.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # the other side has ended it already


async def talk(threads: Blocking, limit_s: float, work: Callable[[Line], T]) -> T:
    """What `work` returns or raises, from a thread; TimeoutError (an OSError) when its time is up."""
    line = Line(limit_s)
    try:
        return await threads.do(lambda: work(line))
    finally:
        line.cut()


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """Verifies certificates and names, by the system's authorities or one's own; raises OSError. Blocks."""
    return ssl.create_default_context(cafile=ca_file)


def why(error: OSError) -> str:
    """What went wrong with a connection, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't trusted: {error.verify_message}"
    return error.strerror or str(error) or type(error).__name__
