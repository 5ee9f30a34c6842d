"""A package is installed, upgraded and removed: the configuration stays, only the agent is touched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from packages.deb import build_deb
from packages.rpm import build_rpm
from packages.wheel import version_of
from tests.packaging.conftest import Build, Built
from tests.packaging.scratch import ScratchRoot

NOBODY = "setpriv --reuid 65534 --regid 65534 --clear-groups"
CLUSTER = "/usr/share/doc/kagemusha/examples/garoon/cluster.toml"


@dataclass(frozen=True)
class Manager:
    """What one package manager calls installing and removing."""

    name: str
    build: Build
    install: str
    upgrade: str
    remove: str


# Debian's rpm knows no package of the host, so the RPM's dependencies are looked at, not resolved.
RPM = "rpm --dbpath /var/lib/rpm-scratch"
MANAGERS = (
    Manager("dpkg", build_deb, "dpkg --install", "dpkg --install", "dpkg --remove kagemusha"),
    Manager("rpm", build_rpm, f"{RPM} -i --nodeps", f"{RPM} -U --nodeps", f"{RPM} -e kagemusha"),
)


@pytest.fixture(scope="session", params=MANAGERS, ids=lambda each: each.name)
def manager(request: pytest.FixtureRequest) -> Manager:
    manager: Manager = request.param
    return manager


@pytest.fixture(scope="session")
def versions(built: Built, manager: Manager) -> tuple[Path, Path]:
    """Packages of an older and of a newer version, without libraries: they install quickly."""
    bare = built.without_libraries()
    return bare.package(manager.build, "0.9.0rc1"), bare.package(manager.build, "0.9.0")


def test_what_is_installed_works_without_anything_else(
    root: ScratchRoot, manager: Manager, built: Built
) -> None:
    package = built.package(manager.build, version_of(built.wheel))
    root.run(f"{manager.install} {root.add(package)}")
    assert root.run("touch /tmp/begun; kage version").startswith("kage ")
    assert root.run("stat --format '%a %U %G' /etc/kagemusha") == "700 root root\n"
    assert "ExecStart=/usr/bin/kage agent" in root.run("cat /usr/lib/systemd/system/kagemusha.service")
    assert "ec2:ReplaceRoute" in root.run(f"PYTHONHOME=/nowhere kage --config {CLUSTER} iam-policy")
    root.run("echo 'nam = 1' >/tmp/cluster.toml")
    told = root.run(f"{NOBODY} kage --config /tmp/cluster.toml check || test $? = 2")
    assert "nam" in told
    assert root.run("find /opt/kagemusha -newer /tmp/begun") == ""  # it finds everything compiled


def test_an_upgrade_stops_the_agent_before_its_files_change_and_starts_it_after_and_asks_for_nothing_else(
    root: ScratchRoot, manager: Manager, versions: tuple[Path, Path]
) -> None:
    older, newer = versions
    root.run(f"{manager.install} {root.add(older)}")
    root.run("echo mine >/etc/kagemusha/cluster.toml; rm /usr/share/doc/kagemusha/README.md")
    root.pretend_systemd("active")
    root.run(f"{manager.upgrade} {root.add(newer)}")
    assert root.asked_of_systemd() == [
        "is-active kagemusha.service",
        "stop kagemusha.service",
        "daemon-reload",
        "start kagemusha.service",
    ]
    assert root.run("cat /etc/kagemusha/cluster.toml") == "mine\n"
    assert root.run("ls /run") == "systemd\n"  # the mark that it ran is gone


def test_an_upgrade_starts_no_agent_that_did_not_run(
    root: ScratchRoot, manager: Manager, versions: tuple[Path, Path]
) -> None:
    older, newer = versions
    root.run(f"{manager.install} {root.add(older)}")
    root.pretend_systemd("inactive")
    root.run(f"{manager.upgrade} {root.add(newer)}")
    assert root.asked_of_systemd() == ["is-active kagemusha.service", "daemon-reload"]


def test_a_removal_stops_the_agent_and_leaves_configuration_and_state(
    root: ScratchRoot, manager: Manager, versions: tuple[Path, Path]
) -> None:
    root.run(f"{manager.install} {root.add(versions[0])}")
    root.run("mkdir -p /var/lib/kagemusha; touch /etc/kagemusha/cluster.key /var/lib/kagemusha/promises")
    root.pretend_systemd("active")
    root.run(manager.remove)
    assert root.asked_of_systemd() == ["disable --quiet --now kagemusha.service", "daemon-reload"]
    assert root.run("ls /etc/kagemusha /var/lib/kagemusha").split() == [
        *("/etc/kagemusha:", "cluster.key"),
        *("/var/lib/kagemusha:", "promises"),
    ]
    assert root.run("ls -d /opt/kagemusha /usr/bin/kage 2>/dev/null || true") == ""


def test_a_purge_leaves_nothing(root: ScratchRoot, built: Built) -> None:
    package = root.add(built.without_libraries().package(build_deb, "0.9.0"))
    root.run(f"dpkg --install {package}; mkdir -p /var/lib/kagemusha; touch /etc/kagemusha/cluster.key")
    root.run("dpkg --purge kagemusha")
    left = root.run("find /etc /opt /usr/bin /usr/lib/systemd /usr/share/doc /var/lib -name '*kage*' || true")
    assert [each for each in left.splitlines() if "kagemusha" in each] == []


def test_a_host_that_builds_leaves_no_trace_in_the_tree(built: Built) -> None:
    """Neither folders of this machine nor its interpreter are written into what is installed."""
    here = [str(built.out).encode(), str(Path(__file__).parents[2]).encode(), os.fsencode(built.tree)]
    small = [each for each in built.tree.rglob("*") if each.is_file() and not each.is_symlink()]
    assert [each for each in small if any(place in each.read_bytes() for place in here)] == []
