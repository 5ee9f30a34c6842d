"""A guest's disk: a raw image behind a volatile write cache, as a real disk has one.

Invariants:
- what a guest wrote before a flush that was answered is durable, whatever happens then;
- what was written since can be lost by a power cut, whole writes each, the newest CACHE_BYTES at most;
- no answer is given while the disk hangs, a late one while it is slow, none but an error while it fails, and
  none but that to a write while it is full.

QEMU reaches it by NBD over a Unix socket, in this program, so that the test decides what a power cut
loses: killing QEMU alone loses nothing, since the host's page cache keeps every write.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from tests.lab.nbd import Command, Connection, Request

CACHE_BYTES = 128 * 1024 * 1024
END_LIMIT_S = 30.0
SLOW_S = 0.5


class Trouble(Enum):
    """What the disk does with requests."""

    NONE = auto()
    FAIL = auto()  # answers EIO and changes nothing
    FULL = auto()  # writes alone get an error, as where storage is promised that isn't there
    HANG = auto()  # takes them, and answers once it is mended
    SLOW = auto()  # answers each `slow_s` after the one before


Keep = Callable[[int], bool]  # whether the unflushed write of that index, 0 the oldest, survives


def nothing(_index: int) -> bool:
    """Every unflushed write is lost."""
    return False


def everything(_index: int) -> bool:
    """None is lost: the guest ended, not its power."""
    return True


def some(seed: int) -> Keep:
    """About half of them are lost; the same seed chooses the same."""
    chance = random.Random(seed)
    return lambda _index: chance.random() < 0.5


@dataclass(frozen=True)
class _Write:
    offset: int
    before: bytes  # what it replaced
    after: bytes


class Disk:
    """One image; connected to at most one QEMU at a time."""

    def __init__(self, image: Path, size_mb: int) -> None:
        self.image = image
        self.slow_s = SLOW_S
        self._size_bytes = size_mb << 20
        with image.open("ab") as file:
            file.truncate(self._size_bytes)
        self._unflushed: deque[_Write] = deque()
        self._unflushed_bytes = 0
        self._trouble = Trouble.NONE
        self._ending = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None

    def plug_in(self, path: Path) -> None:
        """Let one client connect to this socket."""
        assert self._thread is None, f"{self.image} is plugged in"
        self._trouble, self._ending = Trouble.NONE, False
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._thread = threading.Thread(
            target=self._serve, args=(self._listener,), name=str(path), daemon=True
        )
        self._thread.start()

    def unplug(self, keep: Keep = everything) -> None:
        """The client is dead: forget of its unflushed writes those that `keep` doesn't name."""
        if self._thread is None or self._listener is None:
            return
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        self._listener.shutdown(socket.SHUT_RDWR)  # if it never connected
        self._thread.join(END_LIMIT_S)
        assert not self._thread.is_alive(), f"{self.image} is still in use"
        self._listener.close()
        self._thread = self._listener = None
        self._lose(keep)

    def trouble(self, trouble: Trouble) -> None:
        """From now on; `Trouble.NONE` mends it."""
        with self._changed:
            self._trouble = trouble
            self._changed.notify_all()

    def _serve(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return  # unplugged before anyone came
        file = os.open(self.image, os.O_RDWR | os.O_CLOEXEC)
        try:
            with client:
                connection = Connection(client, self._size_bytes)
                if connection.negotiate():
                    self._answer_all(connection, file)
        except (EOFError, ConnectionError):
            return  # QEMU ended, as with a power cut
        finally:
            os.close(file)

    def _answer_all(self, connection: Connection, file: int) -> None:
        while (request := connection.receive()).command is not Command.DISCONNECT:
            with self._changed:
                self._changed.wait_for(lambda: self._ending or self._trouble is not Trouble.SLOW, self.slow_s)
                self._changed.wait_for(lambda: self._ending or self._trouble is not Trouble.HANG)
                if self._ending:
                    return
                trouble = self._trouble
            if trouble is Trouble.FAIL:
                connection.reply(request, error=errno.EIO)
            elif trouble is Trouble.FULL and request.command is Command.WRITE:
                connection.reply(request, error=errno.ENOSPC)
            else:
                connection.reply(request, self._do(request, file))

    def _do(self, request: Request, file: int) -> bytes:
        match request.command:
            case Command.READ:
                return os.pread(file, request.length, request.offset)
            case Command.WRITE:
                self._write(request, file)
            case Command.FLUSH:
                self._unflushed.clear()
                self._unflushed_bytes = 0
        return b""

    def _write(self, request: Request, file: int) -> None:
        before = os.pread(file, request.length, request.offset)
        written = os.pwrite(file, request.data, request.offset)
        assert written == request.length, f"{self.image}: the host's disk is full"
        self._unflushed.append(_Write(request.offset, before, request.data))
        self._unflushed_bytes += request.length
        while self._unflushed_bytes > CACHE_BYTES:  # the oldest go to the medium to make room
            self._unflushed_bytes -= len(self._unflushed.popleft().after)

    def _lose(self, keep: Keep) -> None:
        with self.image.open("r+b") as file:
            for write in reversed(self._unflushed):
                file.seek(write.offset)
                file.write(write.before)
            for index, write in enumerate(self._unflushed):
                if keep(index):
                    file.seek(write.offset)
                    file.write(write.after)
        self._unflushed.clear()
        self._unflushed_bytes = 0
