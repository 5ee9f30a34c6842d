"""A file server on a mirror, with agents: its clients see pauses, whatever becomes of the servers.

No stale handle, no lost lock, no lost write.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.disk import some
from tests.lab.fileserver import FileServers
from tests.lab.nfs_client import VERSIONS, Writer, name_of, try_lock, wait_unlocked, write
from tests.lab.replicated import OTHER, WITHIN_S
from tests.logs import LOGS

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1_500)]


@pytest.fixture(scope="module")
def servers(built: None, request: pytest.FixtureRequest) -> Iterator[FileServers]:
    """In service, both copies whole. Each test leaves it so."""
    with FileServers() as servers:
        request.node.stash[LOGS] = servers.log_tails
        servers.begin()
        yield servers


@pytest.fixture(scope="module")
def writers(servers: FileServers) -> list[Writer]:
    """One for each version of NFS, all of them writing, each with a lock."""
    return [write(servers.client, version) for version in VERSIONS]


def go_on(servers: FileServers, writers: list[Writer], before: list[int], what: str) -> None:
    """All writers do, and the owner holds their locks."""
    for writer, number in zip(writers, before, strict=True):
        writer.go_on()
        print(f"NFS {writer.version}, {what}: {writer.pause_s(number):.1f} s")
    owner = servers.any_owner()
    for version in VERSIONS:
        file = servers.exported(name_of(version))
        assert try_lock(servers.machines[owner], file) == "refused", version


def test_a_switchover_is_a_pause(servers: FileServers, writers: list[Writer]) -> None:
    owner = servers.any_owner()
    before = [len(writer.times_s()) for writer in writers]
    servers.switch_over(OTHER[owner])
    assert servers.removed(owner) == [*reversed(servers.order)]
    assert servers.restored(OTHER[owner]) == [*servers.order]
    go_on(servers, writers, before, "switchover")
    servers.wait_whole(OTHER[owner])


def test_a_power_cut_is_a_pause(servers: FileServers, writers: list[Writer]) -> None:
    owner = servers.any_owner()
    before = [len(writer.times_s()) for writer in writers]
    servers.power_cut(owner, some(seed=1))
    servers.wait_in_service(OTHER[owner], WITHIN_S)
    go_on(servers, writers, before, "power cut")
    servers.start(owner)
    servers.wait_whole(OTHER[owner])


def test_a_server_that_is_cut_off_is_a_pause_and_what_it_wrote_alone_is_gone(
    servers: FileServers, writers: list[Writer]
) -> None:
    owner = servers.any_owner()
    machine = servers.machines[owner]
    before = [len(writer.times_s()) for writer in writers]
    servers.network.cut(owner)
    servers.wait_in_service(OTHER[owner], WITHIN_S)
    go_on(servers, writers, before, "cut off")
    assert not machine.on, "it lost its authority: it had to be harmless before the other one began"
    servers.network.heal(owner)
    servers.start(owner)
    servers.wait_whole(OTHER[owner])


def test_afterwards_every_write_is_there_and_both_copies_are_the_same(
    servers: FileServers, writers: list[Writer]
) -> None:
    """The last one: it ends with the servers off."""
    owner = servers.any_owner()
    server = servers.machines[owner]
    for writer in writers:
        writer.stop()
        file = servers.exported(name_of(writer.version))
        assert server.read(file).startswith(writer.written())
        wait_unlocked(server, file)  # so it was the writer that had it
        print(f"NFS {writer.version}: {len(writer.times_s())} writes")
    servers.end(owner)
    assert servers.differing_chunks() == []
    assert servers.filesystem_errors() == ""
