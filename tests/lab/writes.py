"""Somebody writes a file on a guest's mounted mirror, and syncs; what was answered is kept outside."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.guest import Guest, Spawned
from tests.machines.machine import wait_until

MOUNT = "/mnt/DIR1"
LIMIT_S = 180.0  # the guests are emulated, and what else runs beside them isn't known
_PLACES = 1_000  # in the writer's file
_WRITER = """
import os, sys, time
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
number = 0
while True:
    began = time.monotonic()
    os.pwrite(file, b"%016d" % number * 256, number % 1000 * 4096)
    os.fdatasync(file)
    number += 1
    print(number, round(time.monotonic() - began, 2), flush=True)
    time.sleep(0.05)
"""
_READER = """
import sys
with open(sys.argv[1], "rb") as file:
    while block := file.read(4096):
        words = {block[at:at + 16] for at in range(0, len(block), 16)}
        print(int(words.pop().strip(b"\\0") or b"-1") if len(words) == 1 else -1)
"""


class Writes:
    """What a writer has said."""

    def __init__(self, process: Spawned) -> None:
        self.process = process

    def count(self) -> int:
        """How many writes were answered."""
        return len(self.process.said.splitlines())

    def longest_s(self) -> float:
        """How long a write took at most."""
        return max(float(line.split()[1]) for line in self.process.said.splitlines())

    def missing(self, guest: Guest, name: str = "writes") -> list[int]:
        """Answered ones that the file lacks, which `guest` has mounted: must be none."""
        argv = (sys.executable, "-I", "-S", "-c", _READER, f"{MOUNT}/{name}")
        found = [int(word) for word in guest.run(*argv).split()]
        latest = {number % _PLACES: number for number in range(self.count())}
        return [number for place, number in latest.items() if place >= len(found) or found[place] < number]

    def go_on(self) -> None:
        """Return once some more are answered."""
        until = self.count() + 5
        wait_until(lambda: self.count() >= until, LIMIT_S, "writes go on")


@contextmanager
def writing(guest: Guest, name: str = "writes") -> Iterator[Writes]:
    """All the time; or until power is cut."""
    number = len(list(guest.logs.glob("writes.*")))
    argv = (sys.executable, "-I", "-S", "-c", _WRITER, f"{MOUNT}/{name}")
    writes = Writes(guest.spawn(*argv, log=f"writes.{number}"))
    try:
        writes.go_on()
        yield writes
        assert writes.process.running or not guest.on, "a write failed"
    finally:
        if guest.on:
            writes.process.stop()
