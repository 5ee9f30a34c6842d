"""What is known of a server that is being executed: it is its own leg's, and never taken for another's."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recovery_kits.mirror import serving as module
from recovery_kits.mirror.listener import PROGRAM, server_command
from recovery_kits.mirror.serving import Serving, serving
from tests.kits.mirror.nbd_servers import Place

STARTS = 300  # of which at times none is looked at amid its exec: the tests after this one make sure of that
PID = 4711


def test_a_server_that_has_just_been_started_is_not_taken_for_one_that_ends(
    place: Place, tmp_path: Path
) -> None:
    here, there = socket.socketpair()
    line = there.fileno()
    command = server_command(PROGRAM, str(tmp_path), place.export())
    servers = list[subprocess.Popen[bytes]]()

    def start() -> None:
        while len(servers) < STARTS:
            servers.append(subprocess.Popen(command, stdin=line, stdout=line))

    async def look() -> list[Serving]:
        found = list[Serving]()
        while not starting.done():
            found += await serving(tmp_path / "another")
        return found

    with here, there, ThreadPoolExecutor(1) as threads:
        try:
            starting = threads.submit(start)
            found = asyncio.run(look())
            starting.result()
            assert all(server.poll() is None for server in servers)
            assert not {each.pid for each in found} & {server.pid for server in servers}
        finally:
            for server in servers:
                server.kill()
                server.wait()


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A /proc where nbdkit is being executed, which has no arguments yet; called, it has."""
    process = tmp_path / "proc" / str(PID)
    process.mkdir(parents=True)
    (process / "exe").symlink_to(f"/usr/sbin/{PROGRAM}")
    (process / "stat").write_text(f"{PID} (python3) R 1")  # the name comes after the program, too
    (process / "cmdline").write_bytes(b"")
    monkeypatch.setattr(module, "_PROC", tmp_path / "proc")

    def tell() -> None:
        (process / "cmdline").write_bytes(b"nbdkit\0-s\0-P\0/run/dir1/pid\0")

    return tell


@pytest.mark.parametrize(
    ("directory", "found"), [("/run/dir1", [Serving(PID, Path("/run/dir1"))]), ("/run/dir2", [])]
)
def test_a_server_without_arguments_is_looked_at_again_until_they_tell_whose_it_is(
    executed: Callable[[], None], monkeypatch: pytest.MonkeyPatch, directory: str, found: list[Serving]
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: executed())
    assert asyncio.run(serving(Path(directory))) == found


@pytest.mark.usefixtures("executed")
def test_one_whose_exec_does_not_come_to_an_end_may_be_anybody_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EXEC_S", 0.05)
    assert asyncio.run(serving(Path("/run/dir1"))) == [Serving(PID, None)]
