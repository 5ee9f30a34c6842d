"""A mirror over TLS between real kernels: relays carry what the kernel's network block devices say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.lab import VmLab
from tests.lab.mirror_lab import MirrorLab, differences, shut_down
from tests.lab.writes import LIMIT_S, MOUNT
from tests.machines.machine import wait_until

pytestmark = pytest.mark.cluster

SOURCE, TARGET = "db-01", "db-02"
NODES = (SOURCE, TARGET)
DISK_MB = 16  # an emulated machine encrypts slowly


@pytest.fixture(scope="module")
def mirror(built: None) -> Iterator[MirrorLab]:
    """In service on db-01, whole on both, mounted."""
    with VmLab(NODES, disk_mb=DISK_MB) as lab:
        lab.start()
        mirror = MirrorLab(lab, tls=True)
        for node in NODES:
            mirror.start_hands(node)
        mirror.control(SOURCE, "create", mkfs="ext4")
        assert mirror.job(SOURCE)["state"] == "done"
        mirror.ask(TARGET, "stand_by")
        mirror.promote(SOURCE, in_sync=(SOURCE,))
        mirror.wait_leg(SOURCE, "in-sync")
        lab.guests[SOURCE].run("mount", "/dev/md/dir1", MOUNT)
        yield mirror


def relays(mirror: MirrorLab) -> list[str]:
    """The pids of the source's, in the order in which they were started."""
    return mirror.lab.guests[SOURCE].shell("pgrep -P 1 -f '[/]relay /run' || true").split()


def test_a_new_target_gets_everything_and_counts_only_then(mirror: MirrorLab) -> None:
    asked = mirror.asked(SOURCE)
    assert (asked[0], asked[-1]) == ([SOURCE], list(NODES))
    assert mirror.leg(SOURCE)["last_resync"]["kind"] == "full"


def test_a_killed_relay_costs_a_pause_and_no_copy(mirror: MirrorLab) -> None:
    asked, before = len(mirror.asked(SOURCE)), mirror.leg(SOURCE)["last_resync"]
    with mirror.writing(SOURCE) as writes:
        wait_until(lambda: len(relays(mirror)) == 2, LIMIT_S, "one carries the writes, one is ready")
        carrying, ready = relays(mirror)
        mirror.lab.guests[SOURCE].shell(f"kill -9 {carrying}")
        wait_until(lambda: relays(mirror)[:1] == [ready], LIMIT_S, "the other one is left")
        writes.go_on()
        print(f"the longest wait for an answer was {writes.longest_s():.1f} s")
    assert mirror.wait_leg(SOURCE, "in-sync")["last_resync"] == before
    assert len(mirror.asked(SOURCE)) == asked
    mirror.lab.guests[SOURCE].run("umount", MOUNT)
    mirror.ask(SOURCE, "remove")
    shut_down(mirror.lab)
    assert differences(mirror.lab) == 0
