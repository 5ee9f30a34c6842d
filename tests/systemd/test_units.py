"""What systemd does to the agent, and what becomes of applications: the table of docs/systemd.md."""

from __future__ import annotations

import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from agent.api.client import AgentClient
from agent.api.errors import ApiError
from tests.machines.machine import PROJECT, Machine, wait_until
from tests.machines.network import Device, Network
from tests.machines.reference import KAGE
from tests.systemd import box
from tests.systemd.box import Box

NODES = ("db-01", "db-02")
WITHIN_S = 60.0
CONFIG = """
[cluster]
name = "units"
quorum = "none"
key_file = "/etc/kagemusha/cluster.key"

[comm_path.eni-0]
priority = 1
db-01 = "10.0.1.4"
db-02 = "10.0.2.4"

[hierarchy.shop]
nodes = ["db-01", "db-02"]

[hierarchy.shop.resource.till]
kit = "generic"
id = "till"
restore = "/usr/local/lib/till"
remove = "/usr/local/lib/till"
quick_check = "/usr/local/lib/till"
check_interval = "1s"
"""
TILL = """#!/bin/sh
runs() { [ -e /run/till.pid ] && kill -0 "$(cat /run/till.pid)" 2>/dev/null; }
case $KAGE_ACTION in
restore) runs || { setsid sleep infinity & echo $! >/run/till.pid; } ;;
remove) ! runs || kill "$(cat /run/till.pid)"; rm -f /run/till.pid ;;
*) runs; exit ;;
esac
echo "$KAGE_ACTION" >>/mnt/disk/done
"""


class Cluster:
    """Two boxes with the units installed as packages install them."""

    def __init__(self, folder: Path) -> None:
        self.vpc = Machine("vpc", folder / "logs")
        self.key = secrets.token_hex(32) + "\n"
        self.boxes: dict[str, Box] = {}
        self.folder = folder
        self.network: Network

    def begin(self) -> None:
        """Boot both, and start their agents."""
        self.vpc.boot()
        self.network = Network(self.vpc, ())
        for number, name in enumerate(NODES, start=1):
            address = IPv4Interface(f"10.0.{number}.4/24")
            self.network.add(name, (Device("eth0", address, f"02:00:00:00:00:{number:02x}"),))
            machine = Machine(name, self.folder / "logs", inside=self.vpc, disk=self.folder / name)
            self.boxes[name] = Box(machine, self._tree(name))
            machine.boot()
            self.network.plug_in(machine)
            self.boxes[name].boot()
            self.boxes[name].run("systemctl", "enable", "--now", "kagemusha")

    def end(self) -> None:
        """Whatever happened."""
        for each in self.boxes.values():
            each.machine.power_off()
        self.vpc.power_off()
        for each in self.boxes.values():
            each.close()

    def runs_on(self, seen_by: str) -> str | None:
        """Where the service is, as that node's agent says; None: it isn't, or nobody says."""
        socket = self.boxes[seen_by].path("/run/kagemusha/agent.sock")
        try:
            (shop,) = AgentClient(socket, 5.0).status().hierarchies
        except ApiError:
            return None
        return shop.owner if shop.owner and shop.nodes[shop.owner].phase == "running" else None

    def wait_runs_on(self, node: str, seen_by: str) -> None:
        """Return once it does."""
        wait_until(lambda: self.runs_on(seen_by) == node, WITHIN_S, f"it runs on {node}", 0.1)

    def till(self, node: str) -> int:
        """The application's process, as the node numbers it."""
        return int(self.boxes[node].run("cat", "/run/till.pid"))

    def done(self, node: str) -> list[str]:
        """What the application's script was asked to change there."""
        return (self.folder / node / "done").read_text().split()

    def _tree(self, name: str) -> Path:
        tree = self.folder / f"{name}.tree"
        units = tree / "usr/lib/systemd/system"
        for each in (units, tree / "usr/bin", tree / "usr/local/lib", tree / "etc/kagemusha"):
            each.mkdir(parents=True)
        for unit in (PROJECT / "systemd").glob("kagemusha*"):
            shutil.copy(unit, units)
        (tree / "usr/bin/kage").symlink_to(KAGE)
        (tree / "usr/local/lib/till").write_text(TILL)
        (tree / "etc/hostname").write_text(name)
        (tree / "usr/local/lib/till").chmod(0o755)
        (tree / "etc/kagemusha/cluster.toml").write_text(CONFIG)
        (tree / "etc/kagemusha/cluster.key").write_text(self.key)
        (tree / "etc/kagemusha/cluster.key").chmod(0o400)
        return tree


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    if why := box.why_not():
        pytest.skip(why)
    made = Cluster(tmp_path)
    try:
        made.begin()
        made.wait_runs_on("db-01", "db-01")
        yield made
    finally:
        made.end()


def killed(node: Box, number: str) -> None:
    """Send the agent a signal that ends or stops it, and wait for the next one."""
    was = node.shown("kagemusha", "MainPID")
    node.run("kill", f"-{number}", was)
    wait_until(lambda: node.shown("kagemusha", "MainPID") not in (was, "0"), WITHIN_S, "it is back", 0.1)
    wait_until(lambda: node.shown("kagemusha", "ActiveState") == "active", WITHIN_S, "it is ready", 0.1)


@pytest.mark.cluster
def test_applications_outlive_their_agent_and_leave_a_machine_that_stops(cluster: Cluster) -> None:
    node = cluster.boxes["db-01"]
    till = cluster.till("db-01")
    wait_until(
        lambda: (
            str(till) in node.run("cat", "/sys/fs/cgroup/kagemusha.slice/kagemusha-apps.service/cgroup.procs")
        ),
        WITHIN_S,
        "the application is in a control group of its own",
        0.2,
    )

    killed(node, "KILL")
    cluster.wait_runs_on("db-01", "db-01")
    node.run("systemctl", "restart", "kagemusha")
    cluster.wait_runs_on("db-01", "db-01")
    assert cluster.till("db-01") == till
    assert cluster.done("db-01") == ["restore"]

    killed(node, "STOP")  # the watchdog's to find; without a quorum the peer may take the service meanwhile
    wait_until(lambda: cluster.runs_on("db-01") == cluster.runs_on("db-02"), WITHIN_S, "both agree", 0.1)
    active = cluster.runs_on("db-02")
    assert active is not None
    other = next(each for each in NODES if each != active)
    cluster.boxes[active].ask_to_end("poweroff")
    assert cluster.done(active)[-1] == "remove"
    assert cluster.runs_on(other) == other


def test_the_units_are_as_systemd_wants_them(capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd isn't installed: run requirements/bootstrap.sh")
    unit = str(PROJECT / "systemd/kagemusha.service")
    argv = ("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    said = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"Overall exposure level.*: ([0-9.]+)", said)
    assert found, said
    with capsys.disabled():
        print(f"\nsystemd-analyze security kagemusha.service: {found[1]}")
    assert f"says {found[1]}" in (PROJECT / "docs/systemd.md").read_text()
