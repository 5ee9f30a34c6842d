"""A mirror in mode async on real kernels: what a lost source costs, and how it is made whole again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.disk import Trouble, nothing
from tests.lab.guest import Guest
from tests.lab.lab import NODES, VmLab
from tests.lab.mirror_lab import MirrorLab, differences, shut_down
from tests.lab.writes import LIMIT_S, MOUNT
from tests.machines.machine import wait_until

pytestmark = pytest.mark.cluster

DEVICE = "/dev/md/dir1"
DISK_MB = 16  # an emulated machine relays slowly
RECORD_BYTES = 4_096
MOST_BYTES, WITHIN_MS = 1 << 20, 20_000


@pytest.fixture(scope="module")
def mirror(built: None) -> Iterator[MirrorLab]:
    """In service on one node, whole on both, mounted."""
    with VmLab(NODES, disk_mb=DISK_MB) as lab:
        lab.start()
        mirror = MirrorLab(lab, mode="async", lag_most_bytes=MOST_BYTES, lag_within_ms=WITHIN_MS)
        for node in NODES:
            mirror.start_hands(node)
        first, second = NODES
        mirror.control(first, "create", mkfs="ext4")
        assert mirror.job(first)["state"] == "done"
        mirror.ask(second, "stand_by")
        mirror.promote(first, in_sync=(first,))
        mirror.wait_leg(first, "in-sync")
        lab.guests[first].run("mount", DEVICE, MOUNT)
        yield mirror


def test_in_good_order_nothing_is_lost_and_the_union_is_copied(mirror: MirrorLab) -> None:
    source, target = roles(mirror)
    with mirror.writing(source.name, "kept") as writes:
        writes.go_on()
    source.run("umount", MOUNT)
    mirror.ask(source.name, "remove")
    mirror.ask(source.name, "stand_by")
    mirror.promote(target.name, in_sync=NODES)
    target.run("mount", DEVICE, MOUNT)
    assert writes.missing(target, "kept") == []
    assert mirror.wait_leg(target.name, "in-sync")["last_resync"]["kind"] == "union"


def test_a_lost_source_costs_its_last_writes_within_the_bound_and_a_full_copy(mirror: MirrorLab) -> None:
    """The last one: it ends with the guests off."""
    source, target = roles(mirror)
    source.shell(f"touch {MOUNT}/lost; sync")
    wait_until(lambda: mirror.leg(source.name)["lag_bytes"] == 0, LIMIT_S, "the target has the file")
    with mirror.writing(source.name, "lost") as writes:
        target.data.trouble(Trouble.HANG)
        wait_until(lambda: mirror.leg(source.name)["stalled_ms"] > 1_000, LIMIT_S, "writes wait at the bound")
        lag_bytes = mirror.leg(source.name)["lag_bytes"]
        mirror.power_cut(source.name, nothing)
    target.data.trouble(Trouble.NONE)
    mirror.promote(target.name, in_sync=NODES)
    target.run("mount", DEVICE, MOUNT)
    told, lost = writes.count(), writes.missing(target, "lost")
    lost_bytes = len(lost) * RECORD_BYTES
    print(f"lost: {len(lost)} of {told} writes, {lost_bytes} of {lag_bytes} bytes that were on their way")
    assert lost == list(range(told))[-len(lost) :], "a later write is there and an earlier one isn't"
    assert 0 < lost_bytes <= lag_bytes <= MOST_BYTES
    target.run("umount", MOUNT)
    target.run("fsck.ext4", "-fn", DEVICE)  # ends with 0 where all is well

    mirror.start(source.name)
    resync = mirror.wait_leg(target.name, "in-sync")["last_resync"]
    assert resync["kind"] == "full"
    mirror.ask(target.name, "remove")
    shut_down(mirror.lab)
    assert differences(mirror.lab) == 0


def roles(mirror: MirrorLab) -> tuple[Guest, Guest]:
    """Where it is in service now, and the other one."""
    guests = [mirror.lab.guests[node] for node in NODES]
    source, target = sorted(guests, key=lambda guest: str(mirror.ask(guest.name, "details")["role"]))
    return source, target
