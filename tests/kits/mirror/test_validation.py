"""What `kage check` says of a mirror before it is used: all that would keep it from working, at once."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from recovery_kits.contract import Finding
from recovery_kits.mirror import validation
from recovery_kits.mirror.disk import Disk, Holds
from recovery_kits.mirror.place import Place
from tests.comm.world import free_port
from tests.kits.fakes import Table, failed, tools
from tests.runtime.waiting import on_loop

ELSEWHERE = "192.0.2.1"  # RFC 5737: nobody's


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(
        tag="mirror-dir1",
        node="db-01",
        uuid=UUID(int=1),
        name="dir1",
        disk="/dev/vda",
        port=free_port(),
        own_addresses=("127.0.0.1",),
        peers={"db-02": ("127.0.0.2",)},
        dead_after_ms=2_000,
        runtime=tmp_path,
        slow_after_ms=500,
    )


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Table:
    """A machine that has everything; its disk is blank and nobody's."""
    monkeypatch.setattr(validation, "_is_block_device", lambda _path: True)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/sbin/{program}")
    monkeypatch.setattr(validation, "users", lambda _name: [])
    run = Table()
    run.answer("modprobe")
    run.answer("nbdkit")
    return run


async def found(
    place: Place, run: Table, disk: Disk | None = None, conf: str = "AUTO -all\n"
) -> list[Finding]:
    path = place.runtime / "mdadm.conf"
    path.write_text(conf)

    async def look() -> Disk:
        return disk or Disk(Holds.BLANK)

    return await validation.findings(place, tools(run), look, (path,))


@on_loop
async def test_a_machine_that_has_everything_is_fine(place: Place, run: Table) -> None:
    assert await found(place, run) == []


@on_loop
async def test_everything_that_is_missing_is_told_at_once(
    place: Place, run: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    monkeypatch.setattr(validation, "_MODULES", ("md-mod", "no-such-module"))
    run.answer("modprobe", by=failed("modprobe"))
    told = await found(place, run, conf="# nothing\n")
    problems = [each.problem for each in told]
    assert problems[:4] == [f"there is no {program}" for program in ("mdadm", "nbdkit", "wipefs", "dd")]
    assert "the kernel has no module no-such-module" in problems
    assert "mdadm may assemble the mirror by itself when the machine boots" in problems
    assert all(each.remedy for each in told)


@on_loop
async def test_an_nbdkit_that_is_too_old_is_told(place: Place, run: Table) -> None:
    run.answer("nbdkit", by=failed("cannot open filter 'retry-request'"))
    (told,) = await found(place, run)
    assert "retry-request" in told.problem
    assert "1.30" in told.remedy


@pytest.mark.parametrize(
    ("disk", "remedy"),
    [
        (Disk(Holds.FOREIGN, "/dev/vda holds ext4"), "kage mirror wipe mirror-dir1 db-01"),
        (Disk(Holds.UNREADABLE, "/dev/vda can't be read"), "look after the disk"),
    ],
)
@on_loop
async def test_a_disk_that_is_no_copy_is_told_with_what_helps(
    place: Place, run: Table, disk: Disk, remedy: str
) -> None:
    (told,) = await found(place, run, disk)
    assert told.problem == disk.why
    assert remedy in told.remedy


@on_loop
async def test_a_disk_in_use_is_not_even_read(
    place: Place, run: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "users", lambda _name: ["md7", "mounted at /srv"])
    (told,) = await found(place, run, Disk(Holds.UNREADABLE, "was read"))
    assert told.problem == "/dev/vda is in use: mounted at /srv"


@on_loop
async def test_a_port_that_another_program_has_is_told(place: Place, run: Table) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        (told,) = await found(place, run)
    assert told.problem == f"127.0.0.1 port {place.port}: Address already in use"
    assert told.remedy == "write another port on all nodes"


@on_loop
async def test_an_address_that_this_machine_lacks_is_told_as_such(place: Place, run: Table) -> None:
    (told,) = await found(replace(place, own_addresses=(ELSEWHERE,)), run)
    assert told.problem == f"{ELSEWHERE} port {place.port}: Cannot assign requested address"
    assert told.remedy == "correct this node's comm path"


@on_loop
async def test_the_port_that_our_own_server_has_is_fine(place: Place, run: Table) -> None:
    (place.runtime / place.tag).mkdir()
    with socket.create_server(("127.0.0.1", place.port)):
        assert await found(place, run) == []
