"""cyde: a database engine of a few lines, so that the example has something real to protect.

It appends each line that a client sends to a file, and answers "ok N" once line N is on disk; an empty
line is answered and not stored. What came in together is written together: one fsync answers all of it.
`cyde.py start PORT DATA LOCK` goes to the background when it is ready to serve (see background.py);
`cyde.py ping PORT` succeeds if an engine answers. Nothing but the standard library.
"""

import os
import selectors
import socket
import sys

from background import detach

PING_LIMIT_S = 5.0
LONGEST_LINE = 4096  # bytes; a client that sends more without a newline is cut off
MOST_CLIENTS = 1000
BACKLOG = 512


class Engine:
    """Serves one data file on one port."""

    def __init__(self, data: str, port: int) -> None:
        self._file = os.open(data, os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._lines = self._keep_whole_lines()
        self._listener = socket.create_server(("", port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._partial: dict[socket.socket, bytes] = {}  # the line each client has begun

    def serve(self) -> None:
        """Until the process is told to end."""
        while True:
            answers: list[tuple[socket.socket, bytes]] = []
            for key, _ in self._selector.select():
                client = key.fileobj
                assert isinstance(client, socket.socket)
                if client is self._listener:
                    self._accept()
                else:
                    answers += [(client, line) for line in self._read(client)]
            if answers:
                self._store(answers)

    def _store(self, lines: list[tuple[socket.socket, bytes]]) -> None:
        text = b"".join(line + b"\n" for _, line in lines if line)
        if text:
            if os.write(self._file, text) != len(text):
                sys.exit("cyde: the disk is full")  # nobody is answered; a restart cuts the rest off
            os.fsync(self._file)
        for client, line in lines:
            self._lines += bool(line)
            try:
                client.send(b"ok %d\n" % self._lines)
            except OSError:
                self._drop(client)  # it went away: its line is stored all the same

    def _accept(self) -> None:
        """All who wait: one for each fsync would be too few on a slow disk, and the queue never end."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # nobody waits, or gave up while it waited
            if len(self._partial) >= MOST_CLIENTS:
                client.close()
                continue
            client.setblocking(False)
            self._partial[client] = b""
            self._selector.register(client, selectors.EVENT_READ)

    def _read(self, client: socket.socket) -> list[bytes]:
        try:
            got = client.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            got = b""
        *lines, rest = (self._partial.get(client, b"") + got).split(b"\n")
        if not got or len(rest) > LONGEST_LINE:
            self._drop(client)
        else:
            self._partial[client] = rest
        return lines

    def _drop(self, client: socket.socket) -> None:
        if self._partial.pop(client, None) is not None:
            self._selector.unregister(client)
            client.close()

    def _keep_whole_lines(self) -> int:
        """Cut off a line that a crash left half written; nobody was told that it is stored."""
        lines = whole = 0
        with os.fdopen(os.dup(self._file), "rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    lines, whole = lines + 1, whole + len(line)
        os.ftruncate(self._file, whole)
        return lines


def ping(port: int) -> None:
    """Ends with an error unless an engine answers on this machine."""
    with socket.create_connection(("127.0.0.1", port), PING_LIMIT_S) as engine:
        engine.sendall(b"\n")
        if not engine.recv(64).startswith(b"ok "):
            sys.exit("cyde: no good answer")


def main(action: str, port: str, data: str = "", lock: str = "") -> None:
    """Act as the first argument says."""
    if action == "ping":
        ping(int(port))
        return
    engine = Engine(data, int(port))
    detach(lock)
    engine.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
