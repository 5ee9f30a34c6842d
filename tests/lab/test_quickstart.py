"""docs/quickstart.md, typed to the letter into two machines with nothing but Debian on them.

What systemd does to that cluster then is the table of docs/systemd.md, on real kernels.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.api.errors import ApiError
from packages.deb import build_deb
from packages.target import Target
from packages.tree import stage
from packages.wheel import build_wheel, source_date_epoch, version_of
from tests.lab import debian, image
from tests.lab.channel import Silent
from tests.lab.cluster import GuestClient
from tests.lab.lab import NODES, VmLab
from tests.machines.machine import PROJECT, TimedOut, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PAGE = PROJECT / "docs/quickstart.md"
BLOCK = re.compile(r"^On (both nodes|db-01|db-02):\n\n```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONNECT = "</dev/tcp/10.1.0.10/8000"
POWER_CUT = "sync\necho o >/proc/sysrq-trigger\n"
FORGETFUL = "echo 0 >/proc/sys/vm/dirty_writeback_centisecs"  # what nobody syncs stays in memory
WITHIN_S = 240.0  # emulated: a tenth of it on a real machine


@dataclass(frozen=True)
class Step:
    """One block of the page, and the nodes to type it on."""

    nodes: tuple[str, ...]
    text: str


def steps() -> list[Step]:
    found = BLOCK.findall(PAGE.read_text())
    return [Step(NODES if where == "both nodes" else (where,), text) for where, text in found]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands in for `make packages`, without the RPM."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is missing (make setup installs it, as root)")
    out, tree = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("tree")
    epoch = source_date_epoch()
    wheel = build_wheel(out, epoch)
    target = Target(python=f"{sys.version_info.major}.{sys.version_info.minor}", machine=platform.machine())
    stage(tree, wheel, target, epoch)
    return build_deb(tree, version_of(wheel), target, epoch, out)


@pytest.fixture(scope="module")
def lab(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VmLab]:
    """Two bare machines with the package in /root."""
    try:
        debian.require()
    except image.NotBuilt as exc:
        pytest.skip(str(exc))
    root = tmp_path_factory.mktemp("root") / "root.img"
    shutil.copyfile(debian.ROOT, root)
    debian.put(root, {f"/root/{package.name}": package})
    with VmLab(disk_mb=debian.ROOT_MB, root=root) as lab:
        lab.start(within_s=WITHIN_S)
        for guest in lab.guests.values():
            guest.shell(FORGETFUL)
        yield lab


class Reader:
    """Types what the page says, and sees what becomes of it."""

    def __init__(self, lab: VmLab) -> None:
        self._lab = lab

    def type(self, step: Step) -> list[str]:
        """The output of each node."""
        with ThreadPoolExecutor() as hands:
            return list(hands.map(lambda node: self._type(node, step.text), step.nodes))

    def wait_in_service(self, on: str, seen_by: str) -> None:
        """As `kage status` there would say, at less cost; and until the web server has come up."""
        what = f"{seen_by} sees hello in service on {on}"
        try:
            wait_until(lambda: self._owner(seen_by) == on, WITHIN_S, what, 1.0)
        except TimedOut as exc:
            raise TimedOut(f"{exc}\n{self._journal(seen_by)}") from exc
        wait_until(lambda: self._answers(on), WITHIN_S, f"{on} answers", 1.0)

    def _journal(self, node: str) -> str:
        return self._lab.guests[node].shell("journalctl --boot --unit kagemusha --no-pager --lines 40")

    def _answers(self, node: str) -> bool:
        said = self._lab.guests[node].shell(f"timeout 5 bash -c '{CONNECT}' 2>&1 && echo yes || true")
        return said.endswith("yes\n")

    def _type(self, node: str, text: str) -> str:
        guest = self._lab.guests[node]
        if text == POWER_CUT:
            with suppress(Silent):  # it may have the time to answer
                guest.shell(text)
            wait_until(lambda: not guest.on, 60.0, f"{node} is off")
            return ""
        return guest.shell(text, within_s=WITHIN_S)

    def _owner(self, node: str) -> str | None:
        try:
            (hello,) = GuestClient(self._lab.guests[node]).status().hierarchies
        except ApiError:
            return None
        running = hello.owner is not None and hello.nodes[hello.owner].phase == "running"
        return hello.owner if running else None


def test_every_block_of_the_quick_start_says_where_to_type_it() -> None:
    assert PAGE.read_text().count("```sh") == len(steps()) > 0
    assert [step.nodes for step in steps() if step.text == POWER_CUT] == [("db-01",)]


def test_the_quick_start_leads_from_two_bare_machines_to_a_failover(lab: VmLab) -> None:
    reader = Reader(lab)
    install, protect, configure, check, start, look, cut, after = steps()
    for step in (install, protect, configure):
        reader.type(step)
    for said in reader.type(check):
        assert said.rstrip().endswith("no findings"), said
    reader.type(start)
    reader.wait_in_service("db-01", seen_by="db-01")
    (said,) = reader.type(look)
    assert "hello  in service on db-01" in said
    assert said.split()[-1] == "db-01"

    reader.type(cut)
    reader.wait_in_service("db-02", seen_by="db-02")
    (said,) = reader.type(after)
    assert said.split()[-1] == "db-02"


def test_the_node_that_was_cut_joins_by_itself_and_the_service_stays(lab: VmLab) -> None:
    lab.start("db-01", within_s=WITHIN_S)
    Reader(lab).wait_in_service("db-02", seen_by="db-01")


def test_a_killed_agent_is_started_again_and_its_service_goes_on(lab: VmLab) -> None:
    node, peer = lab.guests["db-02"], lab.guests["db-01"]
    agent, web = main_pid(lab, "kagemusha"), main_pid(lab, "hello")
    peer.shell("systemctl stop kagemusha")  # an emulated agent may start for longer than its peer is patient
    node.shell(f"kill -KILL {agent}")
    wait_until(lambda: main_pid(lab, "kagemusha") not in ("0", agent), WITHIN_S, "it is started again", 1.0)
    Reader(lab).wait_in_service("db-02", seen_by="db-02")
    assert main_pid(lab, "hello") == web
    peer.shell("systemctl start kagemusha", within_s=WITHIN_S)
    Reader(lab).wait_in_service("db-02", seen_by="db-01")


def test_an_upgrade_restarts_the_agent_and_leaves_its_service_running(lab: VmLab) -> None:
    agent, web = main_pid(lab, "kagemusha"), main_pid(lab, "hello")
    lab.guests["db-02"].shell("dpkg --install /root/kagemusha_*.deb", within_s=WITHIN_S)
    assert main_pid(lab, "kagemusha") not in ("0", agent)
    Reader(lab).wait_in_service("db-02", seen_by="db-02")
    assert main_pid(lab, "hello") == web


def main_pid(lab: VmLab, unit: str) -> str:
    """The unit's process on db-02."""
    return lab.guests["db-02"].shell(f"systemctl show --property MainPID --value {unit}").strip()


@pytest.mark.parametrize(
    ("verb", "active", "other"), [("reboot", "db-02", "db-01"), ("poweroff", "db-01", "db-02")]
)
def test_an_active_machine_hands_over_before_it_goes_off(
    lab: VmLab, verb: str, active: str, other: str
) -> None:
    reader, there = Reader(lab), GuestClient(lab.guests[other])
    before = there.events(1)[-1].id
    lab.guests[active].shell(f"systemctl --no-block {verb}")
    wait_until(lambda: not lab.guests[active].on, WITHIN_S, f"{active} is off")
    reader.wait_in_service(other, seen_by=other)
    kinds = [event.kind for event in there.events(100, after=before)]
    assert "in-service" in kinds
    assert "peer-lost" not in kinds  # nobody had to notice a silence

    lab.start(active, within_s=WITHIN_S)
    reader.wait_in_service(other, seen_by=active)


def test_a_removal_leaves_the_service_running_and_the_configuration_there(lab: VmLab) -> None:
    web = main_pid(lab, "hello")
    lab.guests["db-02"].shell("apt-get remove --yes kagemusha", within_s=WITHIN_S)
    assert main_pid(lab, "kagemusha") == "0"
    assert main_pid(lab, "hello") == web != "0"
    assert lab.guests["db-02"].shell("ls /etc/kagemusha").split() == ["cluster.key", "cluster.toml"]
