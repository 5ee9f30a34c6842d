"""Clients of an exported filesystem see a pause: no stale handle, no lost lock, no lost write."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.disk import nothing
from tests.lab.lab import VmLab
from tests.lab.nfs_client import (
    LIMIT_S,
    SHARE,
    VERSIONS,
    Writer,
    mount,
    name_of,
    try_lock,
    wait_unlocked,
    write,
)
from tests.lab.nfs_lab import CLIENT, DISK_MB, NFS, SERVERS, NfsLab
from tests.lab.own_root import ROOT
from tests.machines.machine import CommandFailed, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def nfs(built: None) -> Iterator[NfsLab]:
    """db-01 serves."""
    with VmLab((*SERVERS, CLIENT), DISK_MB) as lab:
        nfs = NfsLab(lab)
        nfs.begin()
        nfs.serve(SERVERS[0])
        yield nfs


@pytest.fixture(scope="module")
def writers(nfs: NfsLab) -> list[Writer]:
    """One for each version of NFS, all of them writing."""
    return [write(nfs.client, version) for version in VERSIONS]


def listed(nfs: NfsLab, path: str) -> list[str]:
    """What the client finds in a folder."""
    return nfs.client.run("ls", path, within_s=LIMIT_S).split()


def check(nfs: NfsLab, server: str) -> str:
    """What the quick check complains about."""
    complaint: str = nfs.ask(server, "quick_check")[NFS]
    return complaint


def assert_locks_are_held(nfs: NfsLab, server: str) -> None:
    """Asked of the filesystem itself, where the server holds them for its clients."""
    for version in VERSIONS:
        file = f"{ROOT}{SHARE}/{name_of(version)}"
        assert try_lock(nfs.lab.guests[server], file) == "refused", version


def harm(nfs: NfsLab, command: str) -> None:
    """Have db-01 lose something of its server, see that it is noticed, and have it repaired."""
    nfs.lab.guests["db-01"].run("chroot", ROOT, "sh", "-ec", command)
    wait_until(lambda: check(nfs, "db-01"), LIMIT_S, "it is noticed")
    nfs.ask("db-01", "recover", tag=NFS)
    assert check(nfs, "db-01") == ""


def test_a_fit_server_has_no_findings_and_one_that_serves_is_in_order(nfs: NfsLab) -> None:
    assert nfs.ask("db-02", "validate")[NFS] == []
    assert check(nfs, "db-02") == "no NFS server runs here"
    assert check(nfs, "db-01") == ""
    harm(nfs, "exportfs -au")


def test_a_client_whose_locks_would_be_lost_is_refused(nfs: NfsLab) -> None:
    with pytest.raises(CommandFailed, match="not supported"):
        mount(nfs.client, "4.0")


@pytest.mark.parametrize("daemon", ["nfsdcld", "rpc.mountd"])
def test_a_daemon_that_is_gone_is_started_again_while_clients_write(
    nfs: NfsLab, writers: list[Writer], daemon: str
) -> None:
    harm(nfs, f"kill $(pidof {daemon})")
    for writer in writers:
        writer.go_on()


def test_a_switchover_is_a_pause_and_another_client_gets_no_lock_meanwhile(
    nfs: NfsLab, writers: list[Writer]
) -> None:
    before = [len(writer.times_s()) for writer in writers]
    top = mount(nfs.client, "4.2", "/")
    files = [name_of(each) for each in sorted(VERSIONS)]
    assert listed(nfs, f"{top}{SHARE}") == files
    nfs.release("db-01")
    assert nfs.lab.guests["db-01"].read(f"{ROOT}/proc/fs/nfsd/threads") == "0\n"
    nfs.serve("db-02")
    for writer, number in zip(writers, before, strict=True):
        writer.go_on()
        print(f"NFS {writer.version}, switchover: {writer.pause_s(number):.1f} s")
    assert_locks_are_held(nfs, "db-02")
    assert listed(nfs, f"{top}{SHARE}") == files
    other = nfs.lab.guests["db-01"]  # who has just served is a client now
    point = mount(other, "4.2")
    assert try_lock(other, f"{point}/{name_of('4.2')}") == "refused"
    other.run("umount", point)


def test_a_power_cut_is_a_pause_and_loses_no_lock_and_no_write(nfs: NfsLab, writers: list[Writer]) -> None:
    for writer in writers:
        writer.go_on()
    before = [len(writer.times_s()) for writer in writers]
    nfs.lab.power_cut("db-02", nothing)
    nfs.serve("db-01")
    for writer, number in zip(writers, before, strict=True):
        writer.go_on()
        print(f"NFS {writer.version}, power cut: {writer.pause_s(number):.1f} s")
    assert_locks_are_held(nfs, "db-01")
    for writer in writers:
        writer.stop()
        file, server = f"{ROOT}{SHARE}/{name_of(writer.version)}", nfs.lab.guests["db-01"]
        assert server.read(file).startswith(writer.written())
        wait_unlocked(server, file)  # so it was the writer that had it
