"""md on a real kernel: legs that were written apart, replaced, cut off in mid-copy, broken or hung."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.guest import Guest
from tests.lab.lab import VmLab
from tests.machines.machine import PROJECT

CHUNK = 65536
LEG_MIB, DATA_AT = 48, 1 << 20
SECTORS = LEG_MIB << 11
LIMIT_S = 240.0  # the guests are emulated
LEGS = {"loop1": "/tmp/leg1", "loop2": "/tmp/leg2", "loop3": "/tmp/leg3"}
ARRAY = "/dev/md/r0"
HANGS = "/mnt/disk"  # a filesystem that can be frozen, and what is on it hangs then
NO_UDEV = "export DM_DISABLE_UDEV=1"  # dmsetup makes its device nodes itself
Call = str | tuple[Any, ...]


class Node:
    """A guest whose legs are loop devices; any of them may play this node's disk (`on`)."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    def do(self, *calls: Call) -> list[Any]:
        """What tests.lab.array_hands answers to each call; an {"error": …} is last, if there is one."""
        plain = [[call] if isinstance(call, str) else list(call) for call in calls]
        wanted = json.dumps({"device": ARRAY, "disk": "/dev/loop1", "calls": plain})
        argv = (sys.executable, "-m", "tests.lab.array_hands", wanted)
        done = json.loads(self.guest.run(*argv, env={"PYTHONPATH": str(PROJECT)}, within_s=LIMIT_S))
        print(", ".join(f"{each['verb']} {each['s']} s {each.get('error', '')}".strip() for each in done))
        return [each["answer"] if "answer" in each else {"error": each["error"]} for each in done]

    def last(self, *calls: Call) -> Any:
        """The last answer; all of them are done."""
        answers = self.do(*calls)
        assert len(answers) == len(calls), answers[-1]
        return answers[-1]


def differing(one: str, other: str) -> Call:
    """Chunks in which two legs differ, read from what is below them."""
    return ("differing", LEGS[one], LEGS[other], DATA_AT)


DROP: tuple[Call, ...] = (("settled", "/dev/loop1"), ("fail", "loop2"), ("remove", "loop2"))
PAIR: tuple[Call, ...] = ("create", ("add", "loop2"), "idle", ("write", 0, 100))
APART: tuple[Call, ...] = (  # leg 1 is written without leg 2, then leg 2 without leg 1; leg 2 runs
    *PAIR, *DROP, ("write", 10, 20), "stop",
    ("on", "/dev/loop2"), "assemble", ("write", 20, 15), ("write", 200, 5),
)  # fmt: skip


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    with VmLab(nodes=("db-01",)) as lab:
        lab.start()
        lab.guests["db-01"].run("modprobe", "--all", "raid1", "loop", "dm-mod")
        yield lab.guests["db-01"]


@pytest.fixture
def node(guest: Guest) -> Iterator[Node]:
    """With three blank legs."""
    for loop, file in LEGS.items():
        guest.shell(f"truncate -s {LEG_MIB}M {file} && losetup /dev/{loop} {file}")
    yield Node(guest)
    guest.run("fsfreeze", "-u", HANGS, check=False)
    guest.shell(
        f"{NO_UDEV}; mdadm --stop --scan; if dmsetup info leg >/dev/null 2>&1; then dmsetup remove leg; fi\n"
        f"losetup -D; rm -f {HANGS}/leg {' '.join(LEGS.values())}"
    )


ON_LEG: tuple[Call, ...] = (  # the node's disk is a device that can be made to err or hang
    ("shell", f"{NO_UDEV}; echo 0 {SECTORS} linear /dev/loop1 0 | dmsetup create leg"),
    ("on", "/dev/mapper/leg"),
)


def test_legs_that_were_written_apart_are_equal_after_the_union_was_copied(node: Node) -> None:
    before = node.last(*APART, differing("loop1", "loop2"))
    assert before == [*range(10, 35), *range(200, 205)]
    copied, missing, again, *_, after = node.do(
        ("on", "/dev/loop2"),
        ("rejoin", "loop1"),
        "idle",
        ("re_add", "loop1", []),
        "stop",
        differing("loop1", "loop2"),
    )[1:]
    assert (copied, missing, again) == (len(before), 0, None)
    assert after == []


def test_md_alone_would_keep_what_only_the_old_source_wrote(node: Node) -> None:
    node.last(*APART, ("shell", f"mdadm --manage {ARRAY} --re-add /dev/loop1"), "idle")
    assert node.last(("on", "/dev/loop2"), "stop", differing("loop1", "loop2")) == list(range(10, 20))


def test_a_rejoin_that_was_cut_short_is_done_again(node: Node) -> None:
    folder = f"/sys/block/$(basename $(readlink {ARRAY}))/md"
    begun = f"cd {folder}; echo frozen >sync_action; echo 10-34 >bitmap_set_bits"
    answers = node.do(
        *APART, ("shell", begun), ("rejoin", "loop1"), "idle", "stop", differing("loop1", "loop2")
    )
    assert answers[-4:] == [30, 0, None, []]


def test_a_full_copy_makes_the_legs_equal(node: Node) -> None:
    noise = f"dd if=/dev/urandom of=/dev/loop3 bs={CHUNK} seek=1 count=600 status=none"
    copied = node.last(
        *APART, ("shell", noise), ("add", "loop3"), "idle", "stop", differing("loop2", "loop3")
    )
    assert copied == []
    assert node.last(differing("loop2", "loop1")) != []


def test_after_a_full_copy_was_begun_to_another_disk_the_old_leg_is_copied_in_full(node: Node) -> None:
    replaced = (("add", "loop3"), "idle", ("settled", "/dev/loop1"), ("fail", "loop3"), ("remove", "loop3"))
    leg = node.last(*PAIR, *DROP, ("write", 10, 20), *replaced, ("leg", "/dev/loop1"))
    assert leg["dirty"] == []  # though the old leg lacks 20 chunks: md forgets them as it copies
    reason, missing, _, after = node.do(("rejoin", "loop2"), "idle", "stop", differing("loop1", "loop2"))
    assert "after the leg had left" in reason
    assert (missing, after) == (0, [])


def test_a_leg_in_mid_copy_carries_nothing(node: Node) -> None:
    slowly = ("set_speed_limit", 1024 * 1024)
    *_, state, leg, _, _, refused = node.do(
        "create",
        slowly,
        ("add", "loop2"),
        "state",
        ("leg", "/dev/loop2"),
        "stop",
        ("on", "/dev/loop2"),
        "assemble",
    )
    assert state["sync_action"] == "recover"
    assert leg["is_recovering"]
    assert "holds a mixture" in refused["error"]
    _, reason, missing = node.do("assemble", ("rejoin", "loop2"), "idle")
    assert (reason, missing) == ("a full copy onto it was never finished", 0)


def test_a_leg_that_is_not_blank_is_not_made_one(node: Node) -> None:
    foreign = "dd if=/dev/urandom of=/dev/loop1 bs=4k seek=1 count=1 conv=notrunc,fsync status=none"
    _, refused = node.do(("shell", foreign), "create")
    assert "isn't blank" in refused["error"]


def test_every_step_may_be_taken_twice(node: Node) -> None:
    steps: list[Call] = ["create", ("add", "loop2"), "idle", ("fail", "loop2"), ("remove", "loop2"), "stop"]
    steps += ["assemble", ("re_add", "loop2", [[0, 5]]), "thaw", "idle"]
    assert node.last(*(each for step in steps for each in (step, step))) == 0


def test_a_local_disk_that_errors_is_left_and_the_other_leg_goes_on(node: Node) -> None:
    broken = f"{NO_UDEV}; dmsetup suspend leg; echo 0 {SECTORS} error | dmsetup load leg; dmsetup resume leg"
    state = node.last(*ON_LEG, *PAIR, ("shell", broken), ("write", 5, 10), "state")
    assert {member["name"]: member["faulty"] for member in state["members"]} == {"dm-0": True, "loop2": False}
    assert (state["degraded"], state["state"] in {"active", "clean"}) == (1, True)


def test_the_state_answers_while_the_local_disk_hangs_and_shows_what_waits(node: Node) -> None:
    on_disk = f"truncate -s {LEG_MIB}M {HANGS}/leg; losetup /dev/loop4 {HANGS}/leg"
    node.last(("shell", on_disk), ("on", "/dev/loop4"), *PAIR, ("shell", f"fsfreeze -f {HANGS}"))
    text = f"dd if=/dev/zero of={ARRAY} bs={CHUNK} count=1 oflag=direct status=none"
    writing = node.guest.spawn("sh", "-c", text, log="hung.log")
    state = node.last(("hanging", "loop4"))
    assert writing.running
    assert [member["faulty"] for member in state["members"]] == [False, False]
    node.guest.run("fsfreeze", "-u", HANGS)
    assert writing.wait(LIMIT_S) == 0


def test_legs_that_differ_are_found(node: Node) -> None:
    below = ("write", DATA_AT // CHUNK + 3, 1, "/dev/loop2")
    state = node.last(*PAIR, below, "verify", "idle", "state")
    assert state["last_sync_action"] == "check"
    assert 0 < state["mismatch_bytes"] <= 2 * CHUNK


def test_a_mirror_grows_with_its_disks(node: Node) -> None:
    before = node.last(*PAIR, "state")["size_bytes"]
    larger = "truncate -s 64M /tmp/leg1 /tmp/leg2; losetup -c /dev/loop1; losetup -c /dev/loop2"
    after = node.last(("shell", larger), "grow", "idle", "state")
    assert after["size_bytes"] == before + (16 << 20)
    again = (("write", 900, 10), "stop", "assemble", ("rejoin", "loop2"), "idle", "stop")
    assert node.last(*again, differing("loop1", "loop2")) == []
