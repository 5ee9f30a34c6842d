"""A mirror on three nodes: sources die one after the other, and every copy ends the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.disk import some
from tests.lab.lab import ADDRESSES, VmLab
from tests.lab.mirror_lab import MirrorLab, differences, events, settled, shut_down
from tests.lab.writes import LIMIT_S, MOUNT
from tests.machines.machine import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1_500)]  # two minutes on a quiet machine

FIRST, SECOND, THIRD = NODES = tuple(ADDRESSES)
LEG_MB, LARGER_MB = 20, 24
SIZE_BYTES = LEG_MB << 20


@pytest.fixture
def mirror(built: None) -> Iterator[MirrorLab]:
    """In service on the first node, whole on all, mounted."""
    with VmLab(NODES, disk_mb=LARGER_MB) as lab:
        lab.start()
        mirror = MirrorLab(lab, "/dev/dm-0", leg_mb=LEG_MB)
        for node in NODES:
            mirror.start_hands(node)
        mirror.control(FIRST, "create", mkfs="ext4")
        assert mirror.job(FIRST)["state"] == "done"
        for node in (SECOND, THIRD):
            mirror.ask(node, "stand_by")
        mirror.promote(FIRST, in_sync=(FIRST,))
        for node in (SECOND, THIRD):
            assert mirror.wait_leg(FIRST, "in-sync", node=node)["last_resync"]["kind"] == "full"
        lab.guests[FIRST].run("mount", "/dev/md/dir1", MOUNT)
        yield mirror


def take_over(mirror: MirrorLab, node: str, *, in_sync: tuple[str, ...]) -> None:
    """As the voters know these copies as whole."""
    mirror.promote(node, in_sync=in_sync)
    mirror.lab.guests[node].run("mount", "/dev/md/dir1", MOUNT)


def all_count(mirror: MirrorLab) -> None:
    """As the third node has had it agreed."""
    wait_until(lambda: mirror.asked(THIRD)[-1] == list(NODES), LIMIT_S, "all copies count")


def grow(mirror: MirrorLab, node: str) -> str:
    """What the operator is told; the filesystem is larger."""
    blocks = f"stat -f -c %b {MOUNT}"
    before = int(mirror.lab.guests[node].shell(blocks))
    mirror.control(node, "grow")
    job = mirror.job(node)
    assert job["state"] == "done", job
    assert int(mirror.lab.guests[node].shell(blocks)) > before
    return str(job["text"])


def test_two_sources_die_one_after_the_other_and_nothing_acknowledged_is_missing(mirror: MirrorLab) -> None:
    lab, guests = mirror.lab, mirror.lab.guests
    counted = [[FIRST], [FIRST, SECOND], [FIRST, THIRD], list(NODES)]
    assert all(asked in counted for asked in mirror.asked(FIRST))
    assert mirror.asked(FIRST)[-1] == list(NODES)
    before = events(lab, FIRST) - 1  # md counts one back when it falls idle
    guests[FIRST].shell(f"echo kept >{MOUNT}/kept; sync {MOUNT}/kept")
    wait_until(lambda: settled(lab, before, SIZE_BYTES // 8), LIMIT_S, "all legs have settled", every_s=1)

    with mirror.writing(FIRST, "first") as first:
        mirror.power_cut(FIRST, some(seed=1))
    take_over(mirror, SECOND, in_sync=NODES)
    assert mirror.asked(SECOND)[0] == [SECOND]
    assert first.missing(guests[SECOND], "first") == []
    with mirror.writing(SECOND, "second") as second:
        surviving = mirror.wait_leg(SECOND, "in-sync", node=THIRD)["last_resync"]
        wait_until(lambda: mirror.asked(SECOND)[-1] == [SECOND, THIRD], LIMIT_S, "the third copy counts")
        second.go_on()
        mirror.power_cut(SECOND, some(seed=2))
    take_over(mirror, THIRD, in_sync=(SECOND, THIRD))
    assert first.missing(guests[THIRD], "first") == []
    assert second.missing(guests[THIRD], "second") == []

    with mirror.writing(THIRD, "third") as third:
        for node in (FIRST, SECOND):
            mirror.start(node)
        back = [mirror.wait_leg(THIRD, "in-sync", node=node)["last_resync"] for node in (FIRST, SECOND)]
        all_count(mirror)

        lab.cut(FIRST)
        mirror.wait_leg(THIRD, "dropped", "unreachable", node=FIRST)
        assert mirror.asked(THIRD)[-1] == [SECOND, THIRD]  # one target is lost, the other goes on
        assert mirror.leg(THIRD, SECOND)["state"] == "in-sync"
        third.go_on()
        lab.mend()
        back.append(mirror.wait_leg(THIRD, "in-sync", node=FIRST)["last_resync"])
    all_count(mirror)
    assert {each["kind"] for each in (surviving, *back)} == {"union"}
    assert max(each["bytes"] for each in (surviving, *back)) < SIZE_BYTES // 2

    mirror.enlarge(LARGER_MB)
    larger = grow(mirror, THIRD)
    for writes, name in ((first, "first"), (second, "second"), (third, "third")):
        assert writes.missing(guests[THIRD], name) == []
    acknowledged = sum(writes.count() for writes in (first, second, third))
    copied = [each["bytes"] for each in (surviving, *back)]
    print(f"{acknowledged} records, {copied} of {SIZE_BYTES} bytes copied, longest {third.longest_s()} s")
    print(larger)

    guests[THIRD].run("umount", MOUNT)
    mirror.ask(THIRD, "remove")
    shut_down(lab)
    assert differences(lab) == 0
