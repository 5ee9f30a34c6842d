"""A client that writes through the virtual IP from both app subnets, and measures the outage it sees.

`python -m tests.machines.client FILE ADDRESS PORT SOURCE…` writes every 5 ms from each source
address: one connection, one line, one answer, all within 200 ms or it counts as failed. Each answer
"ok N" adds a line "SOURCE SECONDS" (CLOCK_BOOTTIME) to FILE.
"""

from __future__ import annotations

import errno
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from tests.machines.machine import Machine, Process

EVERY_S = 0.005
ANSWER_LIMIT_S = 0.2


def now_s() -> float:
    """The clock that outages are measured by; the same on every machine of the lab."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Client:
    """The running client, and what it has seen."""

    def __init__(self, vpc: Machine, address: str, port: int, sources: tuple[str, ...]) -> None:
        self._sources = sources
        self.seen = vpc.logs / f"client-{time.monotonic_ns()}.txt"
        argv = (sys.executable, "-m", "tests.machines.client", str(self.seen), address, str(port), *sources)
        self._process: Process = vpc.spawn(*argv, log="client.log")

    def successes(self, source: str) -> list[float]:
        """When writes from `source` were answered, in order."""
        return sorted(at for name, at in self._lines() if name == source)

    def working_since(self, since_s: float) -> bool:
        """Whether writes from every source were answered after `since_s`."""
        return {name for name, at in self._lines() if at > since_s} >= set(self._sources)

    def outage_s(self, since_s: float, until_s: float) -> float:
        """The longest time between two answers in the window, from whichever source it is longer."""
        longest = 0.0
        for source in self._sources:
            inside = [at for at in self.successes(source) if since_s < at < until_s]
            marks = [since_s, *inside, until_s]
            longest = max(longest, *(after - before for before, after in pairwise(marks)))
        return longest

    def stop(self) -> None:
        """End it."""
        self._process.stop()

    def _lines(self) -> Iterator[tuple[str, float]]:
        if not self.seen.exists():
            return
        for line in self.seen.read_text().splitlines():
            source, _, at = line.partition(" ")
            if at:  # else: the last line is just being written
                yield source, float(at)


class _Writer:
    """All writes under way, in one thread without a framework: the client shares two cores with the rest."""

    def __init__(self, address: str, port: int, sources: list[str], seen: TextIO) -> None:
        self._to, self._sources, self._seen = (address, port), sources, seen
        self._selector = selectors.DefaultSelector()
        self._under_way: deque[tuple[float, socket.socket]] = deque()  # by deadline
        self._most = len(sources) * round(ANSWER_LIMIT_S / EVERY_S)

    def run(self) -> None:
        """Until the process ends."""
        next_at = now_s()
        while True:
            for key, ready in self._selector.select(max(0.0, next_at - now_s())):
                assert isinstance(key.fileobj, socket.socket)
                self._go_on(key.fileobj, key.data, ready)
            if now_s() < next_at:
                continue
            self._give_up_late_ones()
            for source in self._sources:
                if len(self._under_way) < self._most:
                    self._begin(source)
            next_at = max(next_at + EVERY_S, now_s())  # a pause of this process is no burst of writes

    def _begin(self, source: str) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        connection.bind((source, 0))
        if connection.connect_ex(self._to) not in (0, errno.EINPROGRESS):
            connection.close()  # no route: a failed write
            return
        self._selector.register(connection, selectors.EVENT_WRITE, source)
        self._under_way.append((now_s() + ANSWER_LIMIT_S, connection))

    def _go_on(self, connection: socket.socket, source: str, ready: int) -> None:
        try:
            if ready & selectors.EVENT_WRITE:
                connection.send(f"{source} {now_s():.6f}\n".encode())
                self._selector.modify(connection, selectors.EVENT_READ, source)
                return
            if connection.recv(64).startswith(b"ok "):
                self._seen.write(f"{source} {now_s():.6f}\n")
        except OSError:
            pass  # refused or broken off: a failed write leaves no trace but the gap
        self._end(connection)

    def _give_up_late_ones(self) -> None:
        while self._under_way and (self._under_way[0][0] < now_s() or self._under_way[0][1].fileno() < 0):
            self._end(self._under_way.popleft()[1])

    def _end(self, connection: socket.socket) -> None:
        if connection.fileno() >= 0:
            self._selector.unregister(connection)
            connection.close()


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", buffering=1) as seen_file:
        _Writer(sys.argv[2], int(sys.argv[3]), sys.argv[4:], seen_file).run()
