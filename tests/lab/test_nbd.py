"""The kernel's nbd devices, served by another machine: what becomes of writes when links and servers die."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.disk import Trouble
from tests.lab.guest import Guest, Spawned
from tests.lab.lab import ADDRESSES, VmLab
from tests.machines.machine import PROJECT, wait_until

SOURCE, TARGET = "db-01", "db-02"
LEG: dict[str, Any] = {
    "name": "dir1",
    "device": "/dev/vda",
    "peers": ADDRESSES[SOURCE],
    "listen": ADDRESSES[TARGET],
    "port": 10_809,
}
IDENTIFIER = "kagemusha/dir1/db-02"
TIMEOUT_S = 3
LIMIT_S = 120.0  # the guests are emulated


class Hand:
    """What tests.lab.link_hands does in one guest; each verb is a new process there."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def do(self, verb: str, **arguments: Any) -> Any:
        """The verb's answer."""
        env = {"PYTHONPATH": str(PROJECT)}
        argv = (sys.executable, "-m", "tests.lab.link_hands", verb, json.dumps(arguments))
        return json.loads(self.guest.run(*argv, env=env, within_s=LIMIT_S))

    def watch(self, log: str) -> Spawned:
        """Listens for dead links from now on."""
        argv = (sys.executable, "-m", "tests.lab.link_hands", "watch")
        watching = self.guest.spawn(*argv, log=log, env={"PYTHONPATH": str(PROJECT)})
        wait_until(lambda: "listening" in watching.said, LIMIT_S, "it listens for dead links")
        return watching


@pytest.fixture
def source(lab: VmLab) -> Hand:
    lab.guests[SOURCE].run("modprobe", "nbd", "nbds_max=0")
    return Hand(lab.guests[SOURCE])


@pytest.fixture
def target(lab: VmLab) -> Iterator[Hand]:
    """Serves the leg."""
    hand = Hand(lab.guests[TARGET])
    assert hand.do("serve", **LEG) is None
    yield hand
    lab.mend()
    assert hand.do("stop", **LEG) is None


@contextmanager
def link(source: Hand, timeout_s: int = TIMEOUT_S) -> Iterator[int]:
    """The index of a device that is connected over the first comm path."""
    index = source.do("connect", **by(0), timeout_s=timeout_s)
    assert isinstance(index, int), index
    try:
        yield index
    finally:
        assert isinstance(source.do("disconnect", index=index), float)


def by(path: int) -> dict[str, Any]:
    """How to reach the leg over a comm path."""
    address = ADDRESSES[TARGET][path]
    return {"address": address, "port": LEG["port"], "name": LEG["name"], "identifier": IDENTIFIER}


def write(source: Hand, index: int, letter: str, how: str = "bs=256K count=4 oflag=direct") -> Spawned:
    """Fill the device's first MiB with one letter, around the page cache; or as dd is told."""
    text = f"yes {letter} | tr -d '\\n' | dd of=/dev/nbd{index} iflag=fullblock {how}"
    return source.guest.spawn("bash", "-c", text, log=f"write-{letter}.log")


def leg_holds(target: Hand, letter: str) -> bool:
    """Whether the target's own disk starts with a block of that letter."""
    text = f"dd if=/dev/vda bs=4K count=1 iflag=direct status=none | tr -d {letter} | wc -c"
    return target.guest.shell(text).strip() == "0"


def test_a_link_writes_through_and_a_new_process_finds_it_and_takes_it_away(
    source: Hand, target: Hand
) -> None:
    with link(source) as index:
        assert write(source, index, "a").wait(LIMIT_S) == 0
        assert leg_holds(target, "a")
        sectors = source.guest.read(f"/sys/block/nbd{index}/size")
        assert sectors == target.guest.read("/sys/block/vda/size")
        assert source.do("find", identifier=IDENTIFIER) == index
        assert source.do("find", identifier="somebody/else's") is None
        assert source.do("connected", index=index) is True
        assert source.do("connected", index=index + 1) is None
    assert source.do("find", identifier=IDENTIFIER) is None
    assert source.do("connected", index=index) is not True
    assert isinstance(source.do("disconnect", index=index), float)


def test_a_cut_link_is_told_dead_and_the_write_goes_on_over_the_other_network(
    lab: VmLab, source: Hand, target: Hand
) -> None:
    with link(source) as index:
        watching = source.watch("cut.log")
        lab.cut(TARGET, "eth0")
        early = source.do("reconfigure", index=index, **by(1))
        assert early["errno"] == errno.EALREADY, "nothing waits, so the kernel doesn't know yet"
        writing = write(source, index, "b")
        wait_until(lambda: f"dead {index}" in watching.said, LIMIT_S, "the link is told dead")
        assert writing.running
        assert source.do("reconfigure", index=index, **by(1)) is None
        assert writing.wait(LIMIT_S) == 0, writing.said
        assert leg_holds(target, "b")
        watching.stop()


def test_a_server_that_was_killed_is_started_again_and_the_write_goes_on(source: Hand, target: Hand) -> None:
    with link(source) as index:
        watching = source.watch("killed.log")
        target.guest.run("pkill", "-KILL", "-f", "mirror/listener.py")
        assert target.do("serve", **LEG) is None
        wait_until(lambda: f"dead {index}" in watching.said, LIMIT_S, "the link is told dead")
        writing = write(source, index, "c")
        assert source.do("reconfigure", index=index, **by(0)) is None
        assert writing.wait(LIMIT_S) == 0, writing.said
        assert leg_holds(target, "c")
        watching.stop()


def test_a_write_that_the_target_s_disk_fails_is_not_answered_before_it_is_done(
    lab: VmLab, source: Hand, target: Hand
) -> None:
    """Not as if it were done: the copy counts, and lacks it. Not with an error: md would decide by that."""
    with link(source) as index:
        watching = source.watch("failed.log")
        lab.guests[TARGET].data.trouble(Trouble.FAIL)
        try:
            writing = write(source, index, "f")
            wait_until(lambda: f"dead {index}" in watching.said, LIMIT_S, "the kernel has waited long enough")
            assert writing.running
        finally:
            lab.guests[TARGET].data.trouble(Trouble.NONE)
        assert source.do("reconfigure", index=index, **by(0)) is None
        assert writing.wait(LIMIT_S) == 0, writing.said
        assert leg_holds(target, "f")
        watching.stop()


def test_disconnecting_ends_a_write_that_hangs_on_a_cut_link(lab: VmLab, source: Hand, target: Hand) -> None:
    with link(source, timeout_s=300) as index:  # the kernel doesn't know that it is dead
        lab.cut(TARGET, "eth0")
        writing = write(source, index, "d", "bs=1M count=16 oflag=direct")
        wait_until(lambda: in_flight(source, index) > 0, LIMIT_S, "the write is under way")
        took_s = source.do("disconnect", index=index)
        assert isinstance(took_s, float), took_s
        print(f"disconnecting a cut link with a write under way took {took_s:.2f} s")
        assert writing.wait(LIMIT_S) != 0
        assert source.do("find", identifier=IDENTIFIER) is None


def test_a_server_stuck_in_the_kernel_is_not_called_stopped_and_no_client_comes_after_it(
    source: Hand, target: Hand
) -> None:
    frozen = {**LEG, "name": "dir2", "device": "/mnt/disk/leg", "port": 10_810}
    target.guest.run("truncate", "-s", "8M", "/mnt/disk/leg")
    assert target.do("serve", **frozen) is None
    connection = {**by(0), "name": "dir2", "port": 10_810}
    index = source.do("connect", **connection, timeout_s=600)
    target.guest.run("fsfreeze", "-f", "/mnt/disk")
    try:
        writing = write(source, index, "e")
        wait_until(lambda: in_flight(source, index) > 0, LIMIT_S, "the write is under way")
        wait_until(lambda: "D" in states_of_servers(target), LIMIT_S, "the server waits for its disk")
        refused = source.do("connect", **connection, timeout_s=600)
        assert "closed the connection" in refused["error"], "the old client's write may still come"
        answer = target.do("stop", **frozen)
        assert "isn't gone after" in answer["error"]
        assert "its state: D" in answer["error"]
    finally:
        target.guest.run("fsfreeze", "-u", "/mnt/disk")
    assert target.do("stop", **frozen) is None
    assert isinstance(source.do("disconnect", index=index), float)
    assert writing.wait(LIMIT_S) != 0


def in_flight(source: Hand, index: int) -> int:
    """Requests that the device hasn't answered."""
    return sum(int(each) for each in source.guest.read(f"/sys/block/nbd{index}/inflight").split())


def states_of_servers(target: Hand) -> str:
    """The states of all their threads."""
    text = "for pid in $(pgrep nbdkit); do cat /proc/$pid/task/*/stat; done | sed 's/.*) //; s/ .*//'"
    return target.guest.shell(text)
