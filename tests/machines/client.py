"""A client that writes through the virtual IP from both app subnets, and measures the outage it sees.

`python -m tests.machines.client FILE ADDRESS PORT SOURCE…` writes every 5 ms from each source
address: one connection, one line, one answer, all within 200 ms or it counts as failed. Each answer
"ok N" adds a line "SOURCE SECONDS" (CLOCK_BOOTTIME) to FILE.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TextIO

from tests.machines.machine import Machine, Process

EVERY_S = 0.005
ANSWER_LIMIT_S = 0.2
LONGEST_LINE = 200  # bytes
MOST_OUTSTANDING = 64  # of one source; at 5 ms and 200 ms there are at most 40


def now_s() -> float:
    """The clock that outages are measured by; the same on every machine of the lab."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Client:
    """The running client, and what it has seen."""

    def __init__(self, vpc: Machine, address: str, port: int, sources: tuple[str, ...]) -> None:
        self._sources = sources
        self._seen = vpc.logs / f"client-{time.monotonic_ns()}.txt"
        argv = (sys.executable, "-m", "tests.machines.client", str(self._seen), address, str(port), *sources)
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
        if not self._seen.exists():
            return
        for line in self._seen.read_text().splitlines():
            source, _, at = line.partition(" ")
            if at:  # else: the last line is just being written
                yield source, float(at)


async def _write(source: str, number: int, address: str, port: int, seen: TextIO) -> None:
    """One write; a failed one leaves no trace but the gap."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection(
                address, port, local_addr=(source, 0), limit=LONGEST_LINE
            )
            writer.write(f"{source} {number}\n".encode())
            answer = await reader.readline()
    except (OSError, TimeoutError):
        return
    finally:
        if writer is not None:
            writer.transport.abort()
    if answer.startswith(b"ok "):
        seen.write(f"{source} {now_s():.6f}\n")


async def _writes(source: str, address: str, port: int, seen: TextIO) -> None:
    outstanding: set[asyncio.Task[None]] = set()
    begun, number = now_s(), 0
    while True:
        number += 1
        if len(outstanding) < MOST_OUTSTANDING:
            task = asyncio.create_task(_write(source, number, address, port, seen))
            outstanding.add(task)
            task.add_done_callback(outstanding.discard)
        await asyncio.sleep(max(0.0, begun + number * EVERY_S - now_s()))


async def _run(address: str, port: int, sources: list[str], seen: TextIO) -> None:
    async with asyncio.TaskGroup() as group:
        for source in sources:
            group.create_task(_writes(source, address, port, seen))


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", buffering=1) as seen_file:
        asyncio.run(_run(sys.argv[2], int(sys.argv[3]), sys.argv[4:], seen_file))
