"""The mirror kit on real kernels, disks and networks: what it promises whatever breaks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.lab.disk import Trouble, nothing, some
from tests.lab.lab import VmLab
from tests.lab.mirror_lab import DEAD_AFTER_MS, MirrorLab, differences, events, holds, settled, shut_down
from tests.lab.writes import MOUNT
from tests.machines.machine import wait_until

TARGET_KILLS = int(os.environ.get("KAGE_TARGET_KILLS", "2"))
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600 + 120 * TARGET_KILLS)]

SOURCE, TARGET = "db-01", "db-02"
NODES = (SOURCE, TARGET)
BOTH = list(NODES)
DISK_MB = 96
SIZE_BYTES = DISK_MB << 20
ALONE = b"written by a source that nobody followed "


@pytest.fixture(scope="module")
def lab(built: None) -> Iterator[VmLab]:
    """Two guests with small disks: a full copy takes as long as they are big."""
    with VmLab(NODES, disk_mb=DISK_MB) as lab:
        lab.start()
        yield lab


@pytest.fixture(scope="module")
def mirror(lab: VmLab) -> MirrorLab:
    """In service on db-01, whole on both, mounted."""
    mirror = MirrorLab(lab)
    for node in BOTH:
        mirror.start_hands(node)
    mirror.control(SOURCE, "create", mkfs="ext4")
    assert mirror.job(SOURCE)["state"] == "done"
    mirror.ask(TARGET, "stand_by")
    mirror.promote(SOURCE, in_sync=(SOURCE,))
    mirror.wait_leg(SOURCE, "in-sync")
    lab.guests[SOURCE].run("mount", "/dev/md/dir1", MOUNT)
    return mirror


@pytest.fixture
def calm(mirror: MirrorLab) -> Iterator[MirrorLab]:
    """The same, and both networks work again afterwards."""
    mirror.wait_leg(SOURCE, "in-sync")
    yield mirror
    mirror.lab.mend()


def test_a_new_target_gets_everything_and_counts_only_then(mirror: MirrorLab) -> None:
    asked = mirror.asked(SOURCE)
    assert asked[0] == [SOURCE]
    assert asked[-1] == BOTH
    assert mirror.leg(SOURCE)["last_resync"]["kind"] == "full"
    assert mirror.ask(SOURCE, "quick_check")["why"] == ""
    assert mirror.ask(SOURCE, "details")["role"] == "source"
    assert mirror.ask(TARGET, "details")["role"] == "target"
    assert mirror.ask(TARGET, "validate") == []


def test_a_mirror_in_use_is_neither_stopped_nor_overwritten(calm: MirrorLab) -> None:
    assert f"mounted on {MOUNT}" in calm.refusal(SOURCE, "remove")
    calm.ask(SOURCE, "attend")
    said = calm.refusal(SOURCE, "control", verb="create", arguments={"overwrite": "yes"})
    assert "counts already" in said
    assert "counts" in calm.refusal(SOURCE, "control", verb="wipe", arguments={})


def test_one_network_less_costs_a_pause_and_no_copy(calm: MirrorLab) -> None:
    before = calm.leg(SOURCE)
    in_use = before["address"]
    device = "eth0" if in_use == "10.0.6.4" else "eth1"
    asked = len(calm.asked(SOURCE))
    with calm.writing(SOURCE) as writes:
        calm.lab.cut(TARGET, device)
        wait_until(lambda: calm.leg(SOURCE)["address"] != in_use, 90, "it goes on over the other network")
        writes.go_on()
    assert calm.wait_leg(SOURCE, "in-sync")["last_resync"] == before["last_resync"]
    assert len(calm.asked(SOURCE)) == asked


def test_without_the_target_writes_wait_for_the_voters_and_then_go_on(calm: MirrorLab) -> None:
    with calm.writing(SOURCE) as writes:
        calm.ask(SOURCE, "voters", open=False)
        calm.lab.cut(TARGET)
        wait_until(lambda: calm.asked(SOURCE)[-1] == [SOURCE], 90, "the voters are asked")
        before = writes.count()
        wait_until(lambda: calm.leg(SOURCE)["stalled_ms"] > 2 * DEAD_AFTER_MS, 90, "a while has passed")
        assert writes.count() <= before + 1  # one may have been answered as the voters were asked
        # /proc/mdstat was seen to hang for a minute while md waits for a leg; sysfs doesn't.
        assert calm.lab.guests[SOURCE].shell("cat /sys/block/md*/md/degraded") == "0\n"
        calm.ask(SOURCE, "voters", open=True)
        writes.go_on()
        calm.lab.mend()
        calm.wait_leg(SOURCE, "in-sync")  # by a full copy, if the leg left soon after its last one
        writes.go_on()
    assert calm.asked(SOURCE)[-1] == BOTH


def test_a_target_that_is_killed_under_load_gets_what_it_missed_and_leaves_nothing_behind(
    calm: MirrorLab,
) -> None:
    """Its power is cut, or its server and its agent are killed, in turns."""
    had = calm.in_use()
    with calm.writing(SOURCE) as writes:
        for kill in range(TARGET_KILLS):
            wait_settled(calm)
            before = calm.leg(SOURCE)["last_resync"]
            if kill % 2:
                calm.kill_serving(TARGET)
                calm.start_hands(TARGET)
                calm.ask(TARGET, "stand_by")
            else:
                calm.power_cut(TARGET, some(seed=kill))
                calm.wait_leg(SOURCE, "dropped", "unreachable")
                writes.go_on()
                calm.start(TARGET)
            writes.go_on()
            resync = calm.wait_leg(SOURCE, "in-sync")["last_resync"]
            assert resync == before or resync["kind"] == "union", resync
            assert resync == before or 0 < resync["bytes"] < SIZE_BYTES // 2
            wait_until(
                lambda: calm.in_use() == had, 90, f"no device or process is left over: {had}", every_s=1
            )
    print(f"{TARGET_KILLS} kills, the longest write took {writes.longest_s():.1f} s")
    calm.control(SOURCE, "verify")
    assert calm.job(SOURCE)["text"] == "the copies are the same"


def wait_settled(mirror: MirrorLab) -> None:
    """Until both legs tell little, of what happened last, too; else a copy would be a full one."""
    before = events(mirror.lab, SOURCE) - 1  # md counts one back when it falls idle
    wait_until(lambda: settled(mirror.lab, before, SIZE_BYTES // 8), 90, "both legs have settled", every_s=1)


def test_an_agent_that_was_killed_finds_all_as_it_was(calm: MirrorLab) -> None:
    with calm.writing(SOURCE) as writes:
        for node in BOTH:
            calm.kill_hands(node)
            calm.start_hands(node)
        calm.ask(TARGET, "stand_by")
        calm.promote(SOURCE, in_sync=NODES)
        leg = calm.wait_leg(SOURCE, "in-sync")
        writes.go_on()
    assert leg["last_resync"] is None
    assert calm.asked(SOURCE) == [BOTH]


def test_a_pause_outlives_the_agent_and_ends_with_what_was_missed(calm: MirrorLab) -> None:
    calm.control(SOURCE, "pause", node=TARGET)
    calm.wait_leg(SOURCE, "paused")
    assert calm.asked(SOURCE)[-1] == [SOURCE]
    calm.kill_hands(SOURCE)
    calm.start_hands(SOURCE)
    calm.promote(SOURCE, in_sync=(SOURCE,))
    calm.wait_leg(SOURCE, "paused")
    calm.lab.guests[SOURCE].shell(f"dd if=/dev/urandom of={MOUNT}/missed bs=1M count=2 conv=fsync 2>&1")
    calm.control(SOURCE, "resume", node=TARGET)
    resync = calm.wait_leg(SOURCE, "in-sync")["last_resync"]
    assert resync["kind"] == "union"
    assert 2 << 20 <= resync["bytes"] < SIZE_BYTES // 2


def test_a_full_resync_copies_everything(calm: MirrorLab) -> None:
    calm.control(SOURCE, "full-resync", node=TARGET)
    calm.wait_leg(SOURCE, "copying")
    assert calm.asked(SOURCE)[-1] == [SOURCE]
    resync = calm.wait_leg(SOURCE, "in-sync")["last_resync"]
    assert resync["kind"] == "full"
    assert resync["bytes"] > SIZE_BYTES * 3 // 4


def test_a_copy_that_was_changed_behind_the_mirrors_back_is_found_and_made_anew(calm: MirrorLab) -> None:
    """In the middle of the disk, which md copies and nothing uses."""
    calm.lab.guests[TARGET].shell(
        f"dd if=/dev/urandom of=/dev/vda bs=64k seek={SIZE_BYTES // 2 >> 16} count=1 conv=fsync 2>&1"
    )
    calm.control(SOURCE, "verify")
    found = calm.job(SOURCE)
    assert found["state"] == "failed"
    assert "bytes differ" in found["text"]
    calm.control(SOURCE, "full-resync", node=TARGET)
    calm.wait_leg(SOURCE, "copying")
    wait_until(lambda: calm.leg(SOURCE)["lag_s"] is None, 180, "the copy counts again")
    calm.control(SOURCE, "verify")
    assert calm.job(SOURCE)["text"] == "the copies are the same"


@pytest.mark.parametrize("trouble", [Trouble.HANG, Trouble.FAIL, Trouble.FULL], ids=str)
def test_a_target_whose_disk_takes_no_write_is_gone_on_without_once_the_voters_agree(
    calm: MirrorLab, trouble: Trouble
) -> None:
    """Whether the disk says so or not: md hears of no error, or it would decide by itself."""
    disk = calm.lab.guests[TARGET].data
    with calm.writing(SOURCE) as writes:
        wait_settled(calm)  # while it is written to: md notes how far the legs go together with a write
        calm.ask(SOURCE, "voters", open=False)
        try:
            disk.trouble(trouble)
            wait_until(lambda: calm.asked(SOURCE)[-1] == [SOURCE], 90, "the voters are asked")
            before = writes.count()
            wait_until(lambda: calm.leg(SOURCE)["stalled_ms"] > 2 * DEAD_AFTER_MS, 90, "a while has passed")
            assert writes.count() <= before + 1  # one may have been answered as the voters were asked
            assert calm.lab.guests[SOURCE].shell("cat /sys/block/md*/md/degraded") == "0\n"
            calm.ask(SOURCE, "voters", open=True)
            calm.wait_leg(SOURCE, "dropped", "unreachable")
            writes.go_on()
            if trouble is Trouble.FULL:
                wait_until(lambda: "takes no write" in calm.leg(SOURCE)["why"], 90, "it is told why")
        finally:
            disk.trouble(Trouble.NONE)
            calm.ask(SOURCE, "voters", open=True)
        resync = calm.wait_leg(SOURCE, "in-sync")["last_resync"]
        writes.go_on()
    assert resync["kind"] == "union"
    calm.control(SOURCE, "verify")
    assert calm.job(SOURCE)["text"] == "the copies are the same"


def test_a_target_that_is_slow_is_told_and_keeps_its_copy(calm: MirrorLab) -> None:
    disk = calm.lab.guests[TARGET].data
    with calm.writing(SOURCE) as writes:
        try:
            disk.trouble(Trouble.SLOW)
            began = time.monotonic()
            wait_until(lambda: "kage mirror pause" in quick_check(calm), 90, "it is told")
            print(f"told after {time.monotonic() - began:.1f} s: {quick_check(calm)}")
            assert calm.asked(SOURCE)[-1] == BOTH, "its copy counts"
            writes.go_on()
        finally:
            disk.trouble(Trouble.NONE)
        wait_until(lambda: quick_check(calm) == "", 90, "it is quick again")


def test_a_disk_that_hangs_is_told_and_holds_up_nobody_who_asks(calm: MirrorLab) -> None:
    disk, guest = calm.lab.guests[SOURCE].data, calm.lab.guests[SOURCE]
    try:
        disk.trouble(Trouble.HANG)
        guest.spawn("dd", "if=/dev/zero", f"of={MOUNT}/hanging", "bs=4k", "count=1", "conv=fsync", log="dd")
        wait_until(lambda: "has answered nothing" in quick_check(calm), 90, "it is told")
        assert "another node's copy must take over" in calm.refusal(SOURCE, "recover")
    finally:
        disk.trouble(Trouble.NONE)
    calm.ask(SOURCE, "attend")
    wait_until(lambda: quick_check(calm) == "", 90, "it answers again")


def test_a_source_whose_disk_fails_says_whose_copy_is_whole_and_gets_its_own_back(calm: MirrorLab) -> None:
    source, target = calm.lab.guests[SOURCE], calm.lab.guests[TARGET]
    source.data.trouble(Trouble.FAIL)
    source.shell(f"dd if=/dev/urandom of={MOUNT}/elsewhere bs=1M count=1 conv=fsync 2>&1")
    wait_until(lambda: calm.asked(SOURCE)[-1] == [TARGET], 90, "only the target's copy counts")
    assert "has failed" in quick_check(calm)
    source.run("umount", MOUNT)
    calm.ask(SOURCE, "remove")
    source.data.trouble(Trouble.NONE)
    calm.promote(TARGET, in_sync=(TARGET,))
    assert target.shell(f"mount /dev/md/dir1 {MOUNT}; wc -c <{MOUNT}/elsewhere") == "1048576\n"
    calm.ask(SOURCE, "stand_by")
    resync = calm.wait_leg(TARGET, "in-sync")["last_resync"]
    assert resync["kind"] == "union"
    target.run("umount", MOUNT)
    calm.ask(TARGET, "remove")
    calm.ask(TARGET, "stand_by")
    calm.promote(SOURCE, in_sync=NODES)
    source.run("mount", "/dev/md/dir1", MOUNT)
    calm.wait_leg(SOURCE, "in-sync")


def quick_check(mirror: MirrorLab) -> str:
    """Why the source's quick check fails, or ""."""
    why: str = mirror.ask(SOURCE, "quick_check")["why"]
    return why


def test_a_source_that_nobody_followed_loses_what_it_wrote_alone(calm: MirrorLab) -> None:
    source, target = calm.lab.guests[SOURCE], calm.lab.guests[TARGET]
    source.shell(f"echo kept >{MOUNT}/kept; sync {MOUNT}/kept")
    wait_settled(calm)
    calm.lab.cut(SOURCE)
    calm.wait_leg(SOURCE, "dropped", "unreachable")
    source.shell(f"yes '{ALONE.decode()}' | head -c 8M >{MOUNT}/alone; sync {MOUNT}/alone")
    calm.power_cut(SOURCE, nothing)
    assert holds(calm.lab.disk(SOURCE), ALONE)
    # As if the voters had never heard of the source's last word: then the target may take over.
    calm.promote(TARGET, in_sync=NODES)
    assert calm.asked(TARGET)[0] == [TARGET]
    assert target.shell(f"mount /dev/md/dir1 {MOUNT}; cat {MOUNT}/kept; ls {MOUNT}").startswith("kept\n")
    target.shell(f"dd if=/dev/urandom of={MOUNT}/after bs=1M count=4 conv=fsync 2>&1")
    calm.lab.mend()
    calm.start(SOURCE)
    resync = calm.wait_leg(TARGET, "in-sync")["last_resync"]
    assert resync["kind"] == "union"
    assert 8 << 20 <= resync["bytes"] < SIZE_BYTES // 2
    target.run("umount", MOUNT)
    calm.ask(TARGET, "remove")
    assert "md" not in target.shell("grep ^md /proc/mdstat || true; cat /sys/block/nbd*/backend 2>&1 || true")
    shut_down(calm.lab)
    assert differences(calm.lab) == 0
    assert not holds(calm.lab.disk(SOURCE), ALONE)
