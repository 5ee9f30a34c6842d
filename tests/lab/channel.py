"""The host's side of a guest's control port: requests go out, answers and output come back in any order."""

from __future__ import annotations

import itertools
import json
import queue
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONNECT_LIMIT_S = 20.0
SEND_LIMIT_S = 10
Message = dict[str, Any]


class Silent(Exception):
    """The guest didn't answer in time, or is off."""


def listen(path: Path) -> socket.socket:
    """A socket at `path` that QEMU will connect to."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    listener.settimeout(CONNECT_LIMIT_S)
    return listener


class Channel:
    """One boot's channel, ended by the end of QEMU. Messages without an id go to `on_message`."""

    def __init__(self, name: str, listener: socket.socket, on_message: Callable[[Message], None]) -> None:
        self._name, self._on_message = name, on_message
        self._socket, _ = listener.accept()
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_LIMIT_S, 0))
        self._numbers = itertools.count(1)
        self._sending = threading.Lock()
        self._lock = threading.Lock()  # of both below
        self._waiting: dict[int, queue.Queue[Message]] = {}
        self._ended = False
        self._thread = threading.Thread(target=self._read, name=f"{name}: channel", daemon=True)
        self._thread.start()

    def ask(self, do: str, limit_s: float, **what: Any) -> Message:
        """The guest's answer to one request (see `inside`); raises Silent after `limit_s` seconds."""
        number, answer = next(self._numbers), queue.Queue[Message](1)
        line = json.dumps({"id": number, "do": do, **what}) + "\n"
        with self._lock:
            if self._ended:
                raise Silent(f"{self._name} is off")
            self._waiting[number] = answer
        try:
            self._send(line.encode())
            found = answer.get(timeout=limit_s)
        except (BlockingIOError, queue.Empty):
            raise Silent(f"{self._name}: {do}: no answer within {limit_s:g} s") from None
        finally:
            with self._lock:
                self._waiting.pop(number, None)
        if not found:
            raise Silent(f"{self._name} went off")
        return found

    def close(self) -> None:
        """QEMU has ended: so does everyone who waits."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _send(self, line: bytes) -> None:
        try:
            with self._sending:
                self._socket.sendall(line)
        except (BrokenPipeError, ConnectionResetError):
            return  # it ended: the reader says so to all that wait

    def _read(self) -> None:
        begun = b""
        while data := self._receive():
            *lines, begun = (begun + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        with self._lock:
            self._ended = True
            for each in self._waiting.values():
                each.put_nowait({})

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionError:
            return b""

    def _take(self, message: Message) -> None:
        if "id" not in message:
            self._on_message(message)
            return
        with self._lock:
            waiting = self._waiting.get(message.pop("id"))
        if waiting is not None:  # else nobody waits any more
            waiting.put_nowait(message)
