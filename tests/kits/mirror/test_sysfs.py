"""An array's state as sysfs tells it, also of one that isn't started or goes away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import pytest

from recovery_kits.blocking import Blocking
from recovery_kits.mirror.array import Array, array_uuid
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.sysfs import InFlight, find, read_state
from tests.kits.fakes import Table

OURS = array_uuid("garoon", "mirror-r0")
STARTED = {
    "array_state": "active", "raid_disks": "2", "degraded": "1", "sync_action": "recover",
    "sync_completed": "1024 / 4096", "sync_speed": "2048", "mismatch_cnt": "128", "last_sync_action": "check",
}  # fmt: skip


def add_array(sys_block: Path, name: str, uuid: UUID, attributes: dict[str, str]) -> Path:
    """A running array; where it is."""
    block = sys_block / name
    write(block, {"size": "8192", "inflight": "       1        2"})
    write(block / "md", {"uuid": str(uuid), **attributes})
    return block


def add_member(block: Path, name: str, state: str, slot: str) -> None:
    """A leg of it."""
    leg = block / f"md/dev-{name}"
    write(leg, {"state": state, "slot": slot, "errors": "0", "bad_blocks": ""})
    write(leg / "block", {"inflight": "       0        3"})


def write(folder: Path, attributes: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, value in attributes.items():
        (folder / name).write_text(f"{value}\n")


def array_in(sys_block: Path, run: Table) -> Array:
    """Ours."""
    return Array("/dev/md/r0", OURS, "/dev/vda", run, Blocking("r0", limit_s=10), sys_block)


def test_a_running_array_tells_its_legs_and_its_progress(tmp_path: Path) -> None:
    block = add_array(tmp_path, "md127", OURS, STARTED)
    add_member(block, "vda", "in_sync", "0")
    add_member(block, "nbd0", "write_mostly", "1")
    state = read_state(block)
    assert (state.name, state.uuid, state.state, state.degraded) == ("md127", OURS, "active", 1)
    assert (state.part, state.sync_bytes_per_s, state.mismatch_bytes) == (0.25, 2 << 20, 65536)
    assert (state.size_bytes, state.in_flight) == (4 << 20, InFlight(1, 2))
    disk, copied_to = state.member("vda"), state.member("nbd0")
    assert disk
    assert disk.in_sync
    assert not disk.is_recovering
    assert copied_to
    assert copied_to.write_mostly
    assert copied_to.is_recovering
    assert copied_to.in_flight == InFlight(0, 3)


def test_an_array_that_is_not_started_can_be_told_all_the_same(tmp_path: Path) -> None:
    block = add_array(tmp_path, "md127", OURS, {"array_state": "inactive", "raid_disks": "2"})
    add_member(block, "vda", "spare", "none")
    state = read_state(block)
    assert not state.is_started
    assert (state.part, state.sync_action) == (0.0, "idle")


def test_an_array_is_found_by_its_uuid_alone(tmp_path: Path) -> None:
    add_array(tmp_path, "md126", UUID(int=1), STARTED)
    write(tmp_path / "md125/md", {"uuid": "", "array_state": "clear"})
    assert find(OURS, tmp_path) is None
    assert asyncio.run(array_in(tmp_path, Table()).state()) is None
    block = add_array(tmp_path, "md127", OURS, STARTED)
    assert find(OURS, tmp_path) == block


def test_bits_that_could_not_be_read_back_keep_a_leg_out_and_md_goes_on(tmp_path: Path) -> None:
    block = add_array(tmp_path, "md127", OURS, {**STARTED, "sync_action": "idle", "bitmap_set_bits": ""})
    run = Table()
    array = Array("/dev/md/r0", OURS, str(tmp_path / "none"), run, Blocking("r0", limit_s=10), tmp_path)
    with pytest.raises(OSError, match="No such file"):
        asyncio.run(array.re_add("nbd0", Chunks(((3, 9),))))
    assert (block / "md/bitmap_set_bits").read_text().startswith("3-9")
    assert (block / "md/sync_action").read_text().startswith("idle")
    assert run.calls == []


def test_the_uuid_follows_from_cluster_and_tag() -> None:
    assert array_uuid("garoon", "mirror-r0") == OURS
    assert len({array_uuid("garoon", "a"), array_uuid("garoon", "b"), array_uuid("other", "a")}) == 3


def test_a_mirror_gets_as_many_places_as_it_has_nodes(tmp_path: Path) -> None:
    block = add_array(tmp_path, "md127", OURS, STARTED)
    array, places = array_in(tmp_path, Table()), block / "md/raid_disks"
    asyncio.run(array.make_room(3))
    assert places.read_text().strip() == "3"
    before = places.stat().st_mtime_ns
    asyncio.run(array.make_room(3))
    assert places.stat().st_mtime_ns == before
