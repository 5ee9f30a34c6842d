"""A mirror between two guests, each with a kit and no agent: what the mirror's tests do with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recovery_kits.mirror.leg import Leg, read_leg
from tests.lab.disk import Keep, everything
from tests.lab.guest import Spawned
from tests.lab.lab import VmLab
from tests.lab.mirror_hands import SOCKET
from tests.machines.machine import PROJECT, wait_until

DEAD_AFTER_MS = 10_000  # the guests are slow; what is promised is counted in this
LIMIT_S = 180.0  # the guests are emulated, and what else runs beside them isn't known
MOUNT = "/mnt/DIR1"
_BLOCK = 1 << 20
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


class MirrorLab:
    """Two guests with hands (`tests.lab.mirror_hands`)."""

    def __init__(self, lab: VmLab) -> None:
        self.lab = lab
        self.hands: dict[str, Spawned] = {}

    def start_hands(self, node: str) -> None:
        """Start them; the module of softdog and the like are no part of it."""
        settings = {
            "node": node,
            "parameters": {"disk": "/dev/vda", "name": "dir1"},
            "dead_after_ms": DEAD_AFTER_MS,
            "nodes": list(self.lab.nodes),
        }
        argv = (sys.executable, "-m", "tests.lab.mirror_hands", json.dumps(settings))
        number = len(list(self.lab.guests[node].logs.glob(f"{node}.hands.*")))
        hands = self.lab.guests[node].spawn(
            *argv, log=f"{node}.hands.{number}", env={"PYTHONPATH": str(PROJECT)}
        )
        wait_until(lambda: "ready" in said(hands), LIMIT_S, f"{node}'s hands are ready")
        self.hands[node] = hands

    def kill_hands(self, node: str) -> None:
        """As a killed agent: nothing of what it began is ended."""
        self.hands[node].send(signal.SIGKILL)
        self.hands[node].wait(LIMIT_S)

    def ask(self, node: str, do: str, **what: Any) -> Any:
        """What the hands answer; an error of the kit is an AssertionError."""
        body = json.dumps({"do": do, **what})
        got = self.lab.guests[node].http(SOCKET, "POST", "/", body, LIMIT_S)
        answer = json.loads(got["text"])
        assert "answer" in answer, answer
        return answer["answer"]

    def refusal(self, node: str, do: str, **what: Any) -> str:
        """The error that the kit answers with."""
        got = self.lab.guests[node].http(SOCKET, "POST", "/", json.dumps({"do": do, **what}), LIMIT_S)
        error: str = json.loads(got["text"])["error"]
        return error

    def control(self, where: str, verb: str, /, **arguments: str) -> str:
        """What an operator asks; the answer."""
        text: str = self.ask(where, "control", verb=verb, arguments=arguments)
        return text

    def job(self, node: str) -> dict[str, Any]:
        """How the job ended that was begun last."""

        def ended() -> bool:
            return bool(self.ask(node, "details")["job"]["state"] != "running")

        wait_until(ended, LIMIT_S, "the job ends")
        job: dict[str, Any] = self.ask(node, "details")["job"]
        return job

    def leg(self, source: str) -> dict[str, Any]:
        """The other node's leg, as the source tells it."""
        details = self.ask(source, "details")
        assert not details["broken"], details["broken"]
        legs: list[dict[str, Any]] = details["legs"]
        return legs[0] if legs else {"state": "not looked at yet"}  # the duty has just begun

    def wait_leg(self, source: str, *states: str) -> dict[str, Any]:
        """Until the leg is in one of these states; what is told of it then."""
        wait_until(lambda: self.leg(source)["state"] in states, LIMIT_S, f"the leg is {' or '.join(states)}")
        return self.leg(source)

    def promote(self, node: str, *, in_sync: tuple[str, ...]) -> None:
        """Bring the mirror in service, where the voters know these copies as whole."""
        self.ask(node, "voters", in_sync=in_sync)
        self.ask(node, "restore")
        self.ask(node, "attend")

    def asked(self, node: str) -> list[list[str]]:
        """Which sets of copies the voters were asked to agree on."""
        asked: list[list[str]] = self.ask(node, "voters")["asked"]
        return asked

    def power_cut(self, node: str, keep: Keep) -> None:
        """And its hands are gone."""
        self.lab.power_cut(node, keep)

    def start(self, node: str) -> None:
        """Power on, with hands that stand by."""
        self.lab.start(node)
        self.start_hands(node)
        self.ask(node, "stand_by")

    @contextmanager
    def writing(self, node: str) -> Iterator[Writes]:
        """Somebody writes on the mounted mirror, and syncs, all the time."""
        guest = self.lab.guests[node]
        number = len(list(guest.logs.glob("writes.*")))
        argv = (sys.executable, "-I", "-S", "-c", _WRITER, f"{MOUNT}/writes")
        writes = Writes(guest.spawn(*argv, log=f"writes.{number}"))
        try:
            writes.go_on()
            yield writes
            assert writes.process.running, "a write failed"
        finally:
            if guest.on:
                writes.process.stop()


class Writes:
    """What a writer has said."""

    def __init__(self, process: Spawned) -> None:
        self.process = process

    def count(self) -> int:
        """How many writes were answered."""
        return len(said(self.process).splitlines())

    def longest_s(self) -> float:
        """How long a write took at most."""
        return max(float(line.split()[1]) for line in said(self.process).splitlines())

    def go_on(self) -> None:
        """Return once some more are answered."""
        until = self.count() + 5
        wait_until(lambda: self.count() >= until, LIMIT_S, "writes go on")


def said(program: Spawned) -> str:
    """What a program has printed, whole lines only."""
    text = program.log.read_text() if program.log.exists() else ""
    return text[: text.rfind("\n") + 1]


def differences(lab: VmLab) -> int:
    """How many MiB of the mirrored data differ between the nodes' disks; the guests are off."""
    first, second = (_data(lab.disk(node)) for node in lab.nodes)
    return sum(a != b for a, b in zip(first, second, strict=True))


def events(lab: VmLab, node: str) -> int:
    """How many changes of the array's state a node's leg has seen; the guest may run."""
    return _leg(lab.disk(node)).superblock.events


def cleared(lab: VmLab) -> int:
    """The event at which bits were cleared last, as far as every node's leg tells.

    md writes it down some seconds after a write. A leg that takes over before is behind, and what the other
    one lacks can't be told from its bitmap.
    """
    found = [_leg(lab.disk(node)).bitmap for node in lab.nodes]
    return min(bitmap.header.events_cleared if bitmap is not None else 0 for bitmap in found)


def _leg(image: Path) -> Leg:
    async def read(offset: int, length: int) -> bytes:
        return os.pread(file.fileno(), length, offset)

    with image.open("rb") as file:
        leg = asyncio.run(read_leg(read))
    assert isinstance(leg, Leg), leg
    return leg


def holds(image: Path, pattern: bytes) -> bool:
    """Whether a disk has these bytes anywhere."""
    return pattern in image.read_bytes()


def _data(image: Path) -> Iterator[bytes]:
    leg = _leg(image).superblock
    with image.open("rb") as file:
        file.seek(leg.data_offset_bytes)
        for at in range(0, leg.size_bytes, _BLOCK):
            yield file.read(min(_BLOCK, leg.size_bytes - at))


def shut_down(lab: VmLab) -> None:
    """All guests, and nothing is lost."""
    for node in lab.nodes:
        lab.power_cut(node, everything)
