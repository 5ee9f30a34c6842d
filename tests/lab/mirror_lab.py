"""A mirror between guests, each with a kit and no agent: what the mirror's tests do with it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from recovery_kits.mirror.leg import Leg, read_leg
from tests.lab.disk import Keep, everything
from tests.lab.guest import Spawned
from tests.lab.hands import SOCKET
from tests.lab.lab import VmLab
from tests.lab.writes import LIMIT_S, Writes, writing
from tests.machines.machine import PROJECT, wait_until

DEAD_AFTER_MS = 10_000  # the guests are slow; what is promised is counted in this
SERVING = ("mirror/listener.py", "^nbdkit -s|/nbdkit -s")  # a leg's listener, and its client's server
_BLOCK = 1 << 20
_DM = "DM_DISABLE_UDEV=1 dmsetup"  # it makes its device nodes itself


class MirrorLab:
    """Guests with hands (`tests.lab.mirror_hands`)."""

    def __init__(
        self, lab: VmLab, disk: str = "/dev/vda", leg_mb: int | None = None, **parameters: Any
    ) -> None:
        """`parameters` are the kit's beside the disk.

        With `leg_mb` there is /dev/dm-0, that much of the node's disk at first: it can `enlarge`.
        """
        self.lab, self.parameters = lab, {"disk": disk, "name": "dir1", **parameters}
        self._leg_mb = leg_mb
        self.hands: dict[str, Spawned] = {}

    def start_hands(self, node: str) -> None:
        """Start them; the module of softdog and the like are no part of it."""
        if self._leg_mb is not None:
            self.lab.guests[node].shell(f"modprobe dm-mod; {_DM} info leg || {_DM} create leg {self._table}")
        settings = {
            "node": node,
            "parameters": self.parameters,
            "dead_after_ms": DEAD_AFTER_MS,
            "nodes": list(self.lab.nodes),
        }
        argv = (sys.executable, "-m", "tests.lab.mirror_hands", json.dumps(settings))
        number = len(list(self.lab.guests[node].logs.glob(f"{node}.hands.*")))
        hands = self.lab.guests[node].spawn(
            *argv, log=f"{node}.hands.{number}", env={"PYTHONPATH": str(PROJECT)}
        )
        wait_until(lambda: "ready" in hands.said, LIMIT_S, f"{node}'s hands are ready")
        self.hands[node] = hands

    @property
    def _table(self) -> str:
        return f"--table '0 {(self._leg_mb or 0) << 11} linear /dev/vda 0'"

    def enlarge(self, leg_mb: int) -> None:
        """Every node's leg, in use or not."""
        self._leg_mb = leg_mb
        for node in self.lab.nodes:
            self.lab.guests[node].shell(f"{_DM} reload leg {self._table}; {_DM} resume leg")

    def kill_hands(self, node: str) -> None:
        """As a killed agent: nothing of what it began is ended."""
        self.hands[node].send(signal.SIGKILL)
        self.hands[node].wait(LIMIT_S)

    def kill_serving(self, node: str) -> None:
        """The same, and its leg's server is killed as well; the kernel goes on."""
        self.kill_hands(node)
        for program in SERVING:
            self.lab.guests[node].run("pkill", "-KILL", "-f", program, check=False)

    def in_use(self) -> dict[str, list[int]]:
        """For each node: how many nbd devices it has, how many are connected, and what serves its leg."""
        devices = "ls -d /sys/block/nbd* 2>/dev/null | wc -l; ls /sys/block/nbd*/pid 2>/dev/null | wc -l"
        return {
            node: [
                *(int(each) for each in guest.shell(devices).split()),
                *(int(guest.run("pgrep", "-fc", each, check=False)) for each in SERVING),
            ]
            for node, guest in self.lab.guests.items()
        }

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

    def leg(self, source: str, node: str | None = None) -> dict[str, Any]:
        """A node's leg, as the source tells it; of two nodes the other's."""
        details = self.ask(source, "details")
        assert not details["broken"], details["broken"]
        legs: dict[str, dict[str, Any]] = {leg["node"]: leg for leg in details["legs"]}
        not_yet: dict[str, Any] = {"state": "not looked at yet"}  # the duty has just begun
        return legs.get(node or next(iter(legs), ""), not_yet)

    def wait_leg(self, source: str, *states: str, node: str | None = None) -> dict[str, Any]:
        """Until the leg is in one of these states; what is told of it then."""
        what = f"the leg of {node or 'the other node'} is {' or '.join(states)}"
        wait_until(lambda: self.leg(source, node)["state"] in states, LIMIT_S, what)
        return self.leg(source, node)

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

    def writing(self, node: str, name: str = "writes") -> AbstractContextManager[Writes]:
        """Somebody writes a file on the mounted mirror, and syncs, all the time; or until power is cut."""
        return writing(self.lab.guests[node], name)


def differences(lab: VmLab) -> int:
    """How many MiB of the mirrored data differ between the nodes' disks; the guests are off."""
    legs = (_data(lab.disk(node)) for node in lab.nodes)
    return sum(len(set(blocks)) > 1 for blocks in zip(*legs, strict=True))


def events(lab: VmLab, node: str) -> int:
    """How many changes of the array's state a node's leg has seen; the guest may run."""
    return _leg(lab.disk(node)).superblock.events


def settled(lab: VmLab, since_event: int, most_bytes: int) -> bool:
    """Whether every node's leg tells that at most this much may differ, and that it knew of all legs by then.

    md writes both down some seconds after the last write. A leg that takes over before is behind: what the
    others lack can't be told from its bitmap, or the bits of the first copy are still set in it.
    """
    found = [_leg(lab.disk(node)).bitmap for node in lab.nodes]
    return all(
        bitmap is not None
        and bitmap.header.events_cleared >= since_event
        and len(bitmap.dirty) * bitmap.header.chunk_bytes <= most_bytes
        for bitmap in found
    )


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
