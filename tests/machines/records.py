"""A client whose every acknowledged write must be found again: numbered records by the virtual address.

`python -m tests.machines.records FILE FIRST ADDRESS PORT SOURCE` writes one record after the other, each as
often as it takes to be answered; a number is written to FILE, with the seconds (CLOCK_BOOTTIME) of the
answer, once "ok" came back. A record that was sent and not answered is sent again, so it may be stored twice.
FIRST is the first number: no two writers to the same engine may share one.
"""

from __future__ import annotations

import socket
import sys
import time
from itertools import count, pairwise
from pathlib import Path

from tests.machines.machine import Machine, Process, wait_until

ANSWER_LIMIT_S = 5.0  # longer than a write may stall; a lost connection ends sooner or later as well
PAUSE_S = 0.05  # after a failure


class Records:
    """The running writer, and what was acknowledged to it."""

    def __init__(self, vpc: Machine, address: str, port: int, source: str, first: int = 1) -> None:
        self.acknowledged_file = vpc.logs / f"records-{time.monotonic_ns()}.txt"
        argv = (sys.executable, "-m", "tests.machines.records", str(self.acknowledged_file), str(first))
        self._process: Process = vpc.spawn(*argv, address, str(port), source, log="records.log")

    def acknowledged(self) -> list[int]:
        """The numbers that were answered with "ok", in order."""
        return [number for number, _ in self._lines()]

    def longest_wait_s(self, since_s: float = 0.0) -> float:
        """The longest time between two answers of which the second came after `since_s`."""
        answered = pairwise(at for _, at in self._lines())
        return max((after - before for before, after in answered if after > since_s), default=0.0)

    def wait_more(self, more: int, within_s: float) -> None:
        """Return once that many more were acknowledged."""
        until = len(self.acknowledged()) + more
        wait_until(lambda: len(self.acknowledged()) >= until, within_s, f"{more} more records")

    def stop(self) -> None:
        """End it."""
        self._process.stop()

    def _lines(self) -> list[tuple[int, float]]:
        if not self.acknowledged_file.exists():
            return []
        whole = self.acknowledged_file.read_text().rpartition("\n")[0]
        return [(int(number), float(at)) for number, at in map(str.split, whole.splitlines())]


def missing(acknowledged: list[int], stored: str) -> list[int]:
    """Which acknowledged numbers the engine's data file lacks."""
    found = {line.removeprefix("record ") for line in stored.splitlines() if line.startswith("record ")}
    return [number for number in acknowledged if str(number) not in found]


def _write_for_ever(path: Path, first: int, address: str, port: int, source: str) -> None:
    with path.open("a", buffering=1) as acknowledged:
        for number in count(first):
            while not _stored(number, address, port, source):
                time.sleep(PAUSE_S)
            acknowledged.write(f"{number} {time.clock_gettime(time.CLOCK_BOOTTIME):.6f}\n")


def _stored(number: int, address: str, port: int, source: str) -> bool:
    try:
        with socket.create_connection((address, port), ANSWER_LIMIT_S, (source, 0)) as connection:
            connection.sendall(f"record {number}\n".encode())
            return connection.recv(64).startswith(b"ok ")
    except OSError:
        return False  # refused, broken off, no route, or out of time: once more


if __name__ == "__main__":
    _write_for_ever(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5])
