"""Machines boot, reach each other by both networks, lose what a fault says, and leave nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from tests.machines.leftovers import HostState
from tests.machines.machine import CUT_MY_POWER, PROJECT, CommandFailed, Machine, wait_until
from tests.machines.network import Device, Fault, Network

pytestmark = pytest.mark.cluster

DEVICES = {
    "db-01": (
        Device("eth0", IPv4Interface("10.0.3.4/24"), "02:00:00:00:01:00"),
        Device("eth1", IPv4Interface("10.0.12.4/24"), "02:00:00:00:01:01"),
    ),
    "db-02": (
        Device("eth0", IPv4Interface("10.0.6.4/24"), "02:00:00:00:02:00"),
        Device("eth1", IPv4Interface("10.0.14.4/24"), "02:00:00:00:02:01"),
    ),
}
ECHO = """
import socket, threading
def serve(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((address, 7))
        while True:
            data, sender = udp.recvfrom(64)
            udp.sendto(data, sender)
for address in ("10.0.6.4", "10.0.14.4"):
    threading.Thread(target=serve, args=(address,)).start()
"""
ASK = """
import socket, sys
answers = 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
    udp.bind((sys.argv[1], 0))
    udp.connect((sys.argv[2], 7))
    udp.settimeout(float(sys.argv[4]))
    for _ in range(int(sys.argv[3])):
        try:
            udp.send(b"x")
            answers += udp.recv(64) == b"x"
        except (TimeoutError, ConnectionRefusedError):
            pass
print(answers)
"""
FIRST, SECOND = ("10.0.3.4", "10.0.6.4"), ("10.0.12.4", "10.0.14.4")  # from db-01 to db-02


@dataclass
class Rig:
    """Two machines on a VPC; db-02 echoes on both its addresses."""

    vpc: Machine
    network: Network
    machines: dict[str, Machine]

    def boot(self, name: str) -> None:
        """Power on and plug in."""
        self.machines[name].boot()
        self.network.plug_in(self.machines[name])
        if name == "db-02":
            self.machines[name].spawn("/usr/bin/python3", "-c", ECHO, log="echo.log")

    def answers(self, way: tuple[str, str], times: int = 1, within_s: float = 0.3) -> int:
        """How many of so many datagrams from db-01 to db-02 come back."""
        argv = ("/usr/bin/python3", "-c", ASK, *way, str(times), str(within_s))
        return int(self.machines["db-01"].run(*argv))

    def wait_for_echo(self) -> None:
        """Until db-02 answers by both networks."""
        wait_until(lambda: self.answers(FIRST) and self.answers(SECOND), 10, "db-02 echoes on both networks")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    vpc = Machine("vpc", tmp_path / "logs")
    machines = {name: Machine(name, tmp_path / "logs", vpc, tmp_path / name) for name in DEVICES}
    try:
        vpc.boot()
        rig = Rig(vpc, Network(vpc, ()), machines)
        for name, devices in DEVICES.items():
            rig.network.add(name, devices)
            rig.boot(name)
        rig.wait_for_echo()
        yield rig
    finally:
        for each in (*machines.values(), vpc):
            each.power_off()


def test_a_machine_has_its_own_name_devices_and_runtime_directory(rig: Rig) -> None:
    machine = rig.machines["db-01"]
    assert machine.run("hostname") == "db-01\n"
    assert machine.run("ls", "/sys/class/net").split() == ["eth0", "eth1", "lo"]
    assert machine.run("ls", "/run").split() in ([], ["mount"]), "only what mount(8) keeps"
    assert machine.run("cat", "/sys/class/net/eth1/address") == "02:00:00:00:01:01\n"


def test_a_command_that_fails_says_where_and_why(rig: Rig) -> None:
    with pytest.raises(CommandFailed, match=r"db-01: ls /none: exit 2: .*No such file"):
        rig.machines["db-01"].run("ls", "/none")


def test_a_cut_device_loses_everything_and_the_other_nothing(rig: Rig) -> None:
    rig.network.cut("db-02", "eth1")
    assert (rig.answers(FIRST), rig.answers(SECOND)) == (1, 0)
    rig.network.cut("db-02")
    assert (rig.answers(FIRST), rig.answers(SECOND)) == (0, 0)
    rig.network.heal("db-02")
    assert (rig.answers(FIRST), rig.answers(SECOND)) == (1, 1)


@pytest.mark.parametrize("direction", ["from", "to"])
def test_a_one_way_fault_lets_the_other_way_pass(rig: Rig, direction: str) -> None:
    node = rig.machines["db-02"]
    rig.network.set_faults(Fault("db-02", "eth0", "from" if direction == "from" else "to"))
    before = _received(node)
    assert rig.answers(FIRST) == 0
    assert (_received(node) > before) == (direction == "from"), "what was sent to db-02 arrives, or doesn't"


def test_partial_loss_loses_about_so_much(rig: Rig) -> None:
    rig.network.set_faults(Fault("db-02", "eth0", "to", loss_percent=50))
    assert 60 <= rig.answers(FIRST, times=200, within_s=0.01) <= 140


def test_a_power_cut_ends_every_process_and_keeps_only_the_disk(rig: Rig) -> None:
    machine = rig.machines["db-02"]
    machine.run(
        "sh", "-c", "echo kept >/mnt/disk/file; echo lost >/run/file; setsid sleep 1000 >/dev/null 2>&1 &"
    )
    pids, boot = machine.everything(), machine.run("cat", "/proc/sys/kernel/random/boot_id")
    assert len(pids) >= 3, "init, the echo and the sleeper"
    machine.power_off()
    assert HostState.now().left(pids) == []
    assert rig.answers(FIRST) == 0
    rig.boot("db-02")
    rig.wait_for_echo()
    assert machine.run("cat", "/mnt/disk/file") == "kept\n"
    assert "file" not in machine.run("ls", "/run")
    assert machine.run("cat", "/proc/sys/kernel/random/boot_id") != boot


def test_a_reboot_from_inside_is_a_power_cut(rig: Rig) -> None:
    machine = rig.machines["db-02"]
    pids = machine.everything()
    machine.run(*CUT_MY_POWER, check=False)
    wait_until(lambda: not machine.on, 5, "the machine is off")
    machine.power_off()
    assert HostState.now().left(pids) == []


def test_a_frozen_machine_does_nothing_until_it_is_thawed(rig: Rig) -> None:
    rig.machines["db-02"].freeze()
    assert rig.answers(FIRST) == 0
    rig.machines["db-02"].thaw()
    rig.wait_for_echo()


def test_a_frozen_machine_can_lose_its_power(rig: Rig) -> None:
    rig.machines["db-02"].freeze()
    rig.machines["db-02"].power_off()
    assert not rig.machines["db-02"].on


USER = """
import json, sys, time
from pathlib import Path
from tests.machines.machine import Machine
vpc = Machine("vpc", Path(sys.argv[1]))
vpc.boot()
node = Machine("db-01", Path(sys.argv[1]), vpc, Path(sys.argv[1]) / "disk")
node.boot()
node.spawn("sleep", "1000", log="sleep.log")
node.run("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
print(json.dumps([*vpc.everything(), *node.everything()]), flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_the_labs_user_is_killed(tmp_path: Path, number: signal.Signals) -> None:
    host = HostState.now()
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(tmp_path)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as user:
        try:
            assert user.stdout
            pids = json.loads(user.stdout.readline())
            assert len(pids) >= 4, "two inits and two sleepers"
            user.send_signal(number)
            user.wait(10)
            wait_until(lambda: not host.left(pids), 10, f"nothing is left of {pids}")
        finally:
            user.kill()


def _received(machine: Machine) -> int:
    """UDP datagrams that reached the machine, whatever became of the answers."""
    names, values = (
        line.split()[1:] for line in machine.run("cat", "/proc/net/snmp").splitlines() if "Udp:" in line
    )
    return int(dict(zip(names, values, strict=True))["InDatagrams"])
