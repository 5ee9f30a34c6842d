"""Guests boot, do what they are asked, lose what a power cut or a network fault says, and leave nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import guest as guests
from tests.lab.channel import Silent
from tests.lab.disk import Keep, Trouble, nothing, some
from tests.lab.lab import VmLab
from tests.machines.leftovers import HostState
from tests.machines.machine import PROJECT, CommandFailed, wait_until

pytestmark = pytest.mark.cluster

FIRST, SECOND = ("10.0.3.4", "10.0.6.4"), ("10.0.12.4", "10.0.14.4")  # from db-01 to db-02
GATEWAY = ("10.0.3.4", "10.0.3.1")
BLOCKS = 16


def reaches(lab: VmLab, way: tuple[str, str], within_s: int = 1) -> bool:
    """Whether an echo request from db-01 is answered."""
    ping = (guests.BUSYBOX, "ping", "-c1", f"-W{within_s}", "-I", *way)
    return "1 packets received" in lab.guests["db-01"].run(*ping, check=False)


def wait_reached(lab: VmLab) -> None:
    """Until both networks work."""
    wait_until(lambda: reaches(lab, FIRST) and reaches(lab, SECOND), 30, "db-02 answers on both networks")


def boot_id(lab: VmLab, node: str) -> str:
    """Changes with every boot."""
    return lab.guests[node].read("/proc/sys/kernel/random/boot_id")


def test_a_guest_has_a_kernel_a_name_disks_and_the_reference_addresses(lab: VmLab) -> None:
    guest = lab.guests["db-02"]
    assert guest.run("hostname") == "db-02\n"
    links = json.loads(guest.run("ip", "-json", "address", "show"))
    found = [(each["ifname"], each["address"], each["addr_info"][0]["local"]) for each in links[1:]]
    assert found == [("eth0", "02:00:00:00:02:00", "10.0.6.4"), ("eth1", "02:00:00:00:02:01", "10.0.14.4")]
    assert guest.read("/sys/block/vda/serial") == "data"
    assert int(guest.read("/sys/block/vda/size")) * 512 == lab.disk("db-02").stat().st_size
    assert "/dev/vdb /mnt/disk ext4 rw" in guest.read("/proc/mounts")
    assert (
        boot_id(lab, "db-01") != boot_id(lab, "db-02") != Path("/proc/sys/kernel/random/boot_id").read_text()
    )


def test_a_guest_has_the_tools_and_modules_that_replication_needs(lab: VmLab) -> None:
    guest = lab.guests["db-01"]
    guest.shell(
        "mdadm --version; nbdkit --version; mkfs.xfs -V; rpc.nfsd -h || [ $? = 2 ]; type nbd-client mount.nfs"
    )
    guest.shell("modprobe -a nbd raid1 xfs nfsd softdog dm-mod")
    assert guest.run("mdadm", "--detail", "--scan") == "", "no array comes up by itself"


def test_the_project_and_its_interpreter_run_in_a_guest(lab: VmLab) -> None:
    assert "kage" in lab.guests["db-01"].run(
        sys.executable, "-c", "import agent; print('kage')", within_s=120
    )


def test_a_command_that_fails_says_where_and_why(lab: VmLab) -> None:
    with pytest.raises(CommandFailed, match=r"db-01: ls /none: exit 2: .*No such file") as caught:
        lab.guests["db-01"].run("ls", "/none")
    assert caught.value.code == 2
    with pytest.raises(CommandFailed, match="exit 127"):
        lab.guests["db-01"].run("no-such-program")
    with pytest.raises(CommandFailed, match="exit 127"):
        lab.guests["db-01"].spawn("no-such-program", log="none.log")


def test_files_go_in_and_out(lab: VmLab) -> None:
    guest = lab.guests["db-01"]
    text = "Größe: 影武者\n" * 10_000
    guest.write("/tmp/a/b", text, 0o400)
    assert guest.read("/tmp/a/b") == text
    assert guest.run("stat", "-c", "%a", "/tmp/a/b") == "400\n"


def test_a_spawned_program_runs_beside_the_others_and_writes_to_a_log(lab: VmLab) -> None:
    guest = lab.guests["db-01"]
    program = guest.spawn(
        "sh", "-c", "echo begun; trap 'echo told; exit 7' TERM; while :; do sleep 0.1; done", log="s.log"
    )
    wait_until(lambda: "begun" in program.log.read_text(), 20, "it says something")
    assert program.running
    program.stop()
    assert program.wait(0) == 7
    wait_until(lambda: "told" in program.log.read_text(), 20, "its last words arrive")


def test_a_command_stuck_in_the_kernel_holds_nothing_up(lab: VmLab) -> None:
    guest = lab.guests["db-01"]
    guest.data.trouble(Trouble.HANG)
    read = ("dd", "if=/dev/vda", "of=/dev/null", "bs=4k", "count=1", "iflag=direct")
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            guest.run(*read, within_s=2)
        assert " D " in guest.shell("cat /proc/$(pgrep -x dd)/stat")
    finally:
        guest.data.trouble(Trouble.NONE)
    guest.run(*read)


def test_a_failing_disk_is_an_error_in_the_guest(lab: VmLab) -> None:
    guest = lab.guests["db-01"]
    guest.data.trouble(Trouble.FAIL)
    try:
        with pytest.raises(CommandFailed, match="Input/output error"):
            guest.run("dd", "if=/dev/zero", "of=/dev/vda", "bs=4k", "count=1", "oflag=direct")
    finally:
        guest.data.trouble(Trouble.NONE)


def test_a_cut_device_loses_everything_and_the_other_nothing(lab: VmLab) -> None:
    lab.cut("db-02", "eth1")
    try:
        assert (reaches(lab, FIRST), reaches(lab, SECOND)) == (True, False)
        assert lab.guests["db-02"].read("/sys/class/net/eth1/carrier") == "1\n", "the guest can't see why"
    finally:
        lab.mend()
    assert (reaches(lab, FIRST), reaches(lab, SECOND)) == (True, True)


def test_parted_guests_still_reach_the_host(lab: VmLab) -> None:
    lab.part("db-01", "db-02")
    try:
        ways = (FIRST, SECOND, GATEWAY)
        assert [reaches(lab, way) for way in ways] == [False, False, True]
    finally:
        lab.mend()
    wait_reached(lab)


def test_a_pulled_cable_is_seen_by_the_guest(lab: VmLab) -> None:
    guest = lab.guests["db-02"]
    guest.carrier("eth0", up=False)
    try:
        wait_until(lambda: guest.read("/sys/class/net/eth0/carrier") == "0\n", 20, "eth0 has no carrier")
        assert (reaches(lab, FIRST), reaches(lab, SECOND)) == (False, True)
    finally:
        guest.carrier("eth0", up=True)
    wait_reached(lab)


def test_a_frozen_guest_does_nothing_until_it_is_thawed(lab: VmLab, monkeypatch: pytest.MonkeyPatch) -> None:
    guest, boot = lab.guests["db-02"], boot_id(lab, "db-02")
    guest.freeze()
    try:
        assert not reaches(lab, FIRST)
        monkeypatch.setattr(guests, "ANSWER_MARGIN_S", 0.0)
        with pytest.raises(Silent):
            guest.run("true", within_s=0.5)
    finally:
        guest.thaw()
        monkeypatch.undo()
    wait_reached(lab)
    assert boot_id(lab, "db-02") == boot


def test_a_restart_keeps_every_write_but_nothing_in_memory(lab: VmLab) -> None:
    guest, boot = lab.guests["db-01"], boot_id(lab, "db-01")
    seen = PROJECT / "build/lab/seen-by-guests"
    seen.write_text("before")
    try:
        assert guest.read(str(seen)) == "before"
        seen.write_text("after")
        guest.shell("echo here >/run/file; echo kept >/mnt/disk/file; sync")
        write_blocks(lab, "r")
        lab.reboot("db-01")
        assert boot_id(lab, "db-01") != boot
        assert guest.read(str(seen)) == "after", "what changed on the host is seen by guests started later"
        assert guest.shell("cat /mnt/disk/file; ls /run/file || true") == "kept\n"
        assert blocks(lab) == "r" * BLOCKS
    finally:
        seen.unlink()


@pytest.mark.parametrize(
    ("keep", "left"), [(nothing, {"a"}), (some(seed=3), {"a", "b"})], ids=["nothing", "some"]
)
def test_a_power_cut_loses_of_unflushed_writes_what_it_is_told_to(
    lab: VmLab, keep: Keep, left: set[str]
) -> None:
    guest, boot = lab.guests["db-01"], boot_id(lab, "db-01")
    guest.shell("echo kept >/mnt/disk/kept; sync; echo lost >/run/lost; sleep 1000 &")
    write_blocks(lab, "a")
    guest.run("sync", "/dev/vda")
    write_blocks(lab, "b")
    lab.power_cut("db-01", keep)
    assert not guest.on
    assert set(blocks(lab)) == left
    lab.start("db-01")
    assert boot_id(lab, "db-01") != boot
    assert guest.shell("cat /mnt/disk/kept; ls /run/lost || true; pgrep sleep || true") == "kept\n"


def test_a_frozen_guest_can_lose_its_power(lab: VmLab) -> None:
    lab.guests["db-02"].freeze()
    lab.power_cut("db-02")
    assert not lab.guests["db-02"].on
    assert not reaches(lab, FIRST)
    lab.start("db-02")
    wait_reached(lab)


def write_blocks(lab: VmLab, letter: str) -> None:
    """Fill the first blocks of db-01's disk, each by one write, flushing nothing."""
    size = BLOCKS * 4096
    dd = "dd of=/dev/vda bs=4k iflag=fullblock oflag=direct status=none"
    lab.guests["db-01"].shell(f"head -c {size} /dev/zero | tr '\\0' {letter} | {dd}")


def blocks(lab: VmLab) -> str:
    """The letters of those blocks, as the image has them."""
    data = lab.disk("db-01").read_bytes()
    return "".join(chr(data[index * 4096]) for index in range(BLOCKS))


def test_nothing_is_left_when_the_lab_ends_by_an_error(built: None) -> None:
    host, pids = HostState.now(), list[int]()
    lab = VmLab(nodes=("db-03",))

    def fail() -> None:
        with lab:
            lab.start()
            pids.extend(lab.vpc.everything())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(pids) >= 3, "init, virtiofsd, QEMU"
    assert host.left(pids, lab.directory) == []


USER = """
import json, time
from tests.lab.lab import VmLab
with VmLab(nodes=("db-01",)) as lab:
    lab.start()
    print(json.dumps([str(lab.directory), *lab.vpc.everything()]), flush=True)
    time.sleep(1000)
"""


def test_no_process_is_left_when_the_labs_user_is_killed(built: None) -> None:
    host = HostState.now()
    with subprocess.Popen(
        [sys.executable, "-c", USER], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as user:
        assert user.stdout
        directory, *pids = json.loads(user.stdout.readline())
        user.send_signal(signal.SIGKILL)
        user.wait(10)
    try:
        wait_until(lambda: not host.left(pids), 20, f"nothing is left of {pids}")
    finally:
        subprocess.run(["rm", "-r", directory], check=True)
