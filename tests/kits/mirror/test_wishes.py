"""What an operator asked for is remembered, and what takes long is told as a job."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from recovery_kits.contract import KitError
from recovery_kits.mirror.creation import Occupied, require_blank
from recovery_kits.mirror.disk import Disk, Holds, look
from recovery_kits.mirror.job import Jobs, Tell
from recovery_kits.mirror.legs import Member
from recovery_kits.mirror.wishes import Memory, Wishes
from tests.kits.fakes import Table, failed
from tests.kits.mirror.keeper_world import PLACE
from tests.kits.mirror.legs import ARRAY, DiskLeg, Image
from tests.kits.mirror.test_kit import World
from tests.runtime.waiting import on_loop, until


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(monkeypatch, tmp_path)


@on_loop
async def test_wishes_are_found_again(tmp_path: Path) -> None:
    said = list[str]()
    first = Memory(tmp_path / "mirror" / "m.json")
    await first.load(said.append)
    assert first.now == Wishes()
    await first.pause("db-02", paused=True)
    await first.limit(1_000_000)
    second = Memory(tmp_path / "mirror" / "m.json")
    await second.load(said.append)
    assert second.now == Wishes(paused=("db-02",), resync_limit=1_000_000)
    await second.pause("db-02", paused=False)
    await first.load(said.append)
    assert first.now == Wishes(resync_limit=1_000_000)
    assert said == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"paused": 3, "resync_limit": null}', '{"paused": []}'])
@on_loop
async def test_wishes_that_cannot_be_read_are_none_and_that_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    said = list[str]()
    memory = Memory(path)
    await memory.load(said.append)
    assert memory.now == Wishes()
    assert len(said) == 1


@on_loop
async def test_a_job_tells_how_far_it_is_and_how_it_ended() -> None:
    go = asyncio.Event()

    async def works(tell: Tell) -> str:
        tell(40)
        await go.wait()
        return "the copies are the same"

    async def breaks(_tell: Tell) -> str:
        raise failed("mkfs.xfs", output="too small\nUsage: …")

    jobs = Jobs(print)
    assert jobs.details() is None
    jobs.begin("verify", works)
    await until(lambda: (jobs.details() or {})["percent"] == 40)
    assert jobs.running == "verify"
    go.set()
    await until(lambda: not jobs.running)
    assert jobs.details() == {
        "verb": "verify",
        "state": "done",
        "percent": 40,
        "text": "the copies are the same",
    }
    jobs.begin("create", breaks)
    await until(lambda: not jobs.running)
    assert jobs.details() == {
        "verb": "create",
        "state": "failed",
        "percent": None,
        "text": "mkfs.xfs exited with 1: too small",
    }


@pytest.mark.parametrize("verb", ["pause", "resume", "resync", "full-resync", "verify", "grow", "throttle"])
@on_loop
async def test_the_source_is_asked_about_its_targets(world: World, verb: str) -> None:
    with pytest.raises(KitError, match="isn't in service here"):
        await world.kit.control(verb, {"node": "db-02", "bytes_per_s": "1"})


@pytest.mark.parametrize(
    ("verb", "why"),
    [("verify", "db-02 is being copied to: ask again"), ("grow", "the copy of db-02 isn't whole")],
)
@on_loop
async def test_what_needs_whole_copies_waits_for_them(world: World, verb: str, why: str) -> None:
    copying = SimpleNamespace(node="db-02", member=Member.COPYING, whole=False)
    world.kit._controls.source = SimpleNamespace(keepers={"db-02": copying})  # type: ignore[assignment]
    with pytest.raises(KitError, match=why):
        await world.kit.control(verb, {})


@pytest.mark.parametrize(("verb", "why"), [("create", "counts already"), ("wipe", "copy counts")])
@on_loop
async def test_a_copy_that_counts_is_not_destroyed(world: World, verb: str, why: str) -> None:
    with pytest.raises(KitError, match=why):
        await world.kit.control(verb, {"overwrite": "yes"})
    assert world.done == []


@on_loop
async def test_what_nobody_knows_is_refused_with_what_is_known(world: World) -> None:
    with pytest.raises(KitError, match="a mirror knows create, wipe, pause"):
        await world.kit.control("explode", {})


@pytest.mark.parametrize(
    ("disk", "overwrite", "allowed"),
    [
        (Disk(Holds.BLANK), False, True),
        (Disk(Holds.LEG), False, False),
        (Disk(Holds.LEG), True, True),
        (Disk(Holds.FOREIGN, "it holds xfs"), False, False),
        (Disk(Holds.FOREIGN, "it holds xfs"), True, True),
        (Disk(Holds.UNREADABLE, "it can't be read"), True, False),
    ],
)
def test_a_disk_that_is_not_blank_needs_a_word(disk: Disk, overwrite: bool, allowed: bool) -> None:
    if allowed:
        require_blank(PLACE, disk, overwrite=overwrite)
        return
    with pytest.raises(Occupied):
        require_blank(PLACE, disk, overwrite=overwrite)


@on_loop
async def test_a_disk_is_known_by_its_superblock_and_by_every_signature() -> None:
    run = Table()
    run.answer("wipefs", by='{"signatures": [{"type": "xfs"}, {"type": "dos"}]}')
    blank = bytes(1 << 20)
    found = await look("/dev/sdx", ARRAY, Image(blank), run)
    assert (found.holds, found.why) == (Holds.FOREIGN, "/dev/sdx holds dos, xfs")
    run.answer("wipefs", by="")
    assert (await look("/dev/sdx", ARRAY, Image(blank), run)).holds is Holds.BLANK
    assert (await look("/dev/sdx", ARRAY, Image(DiskLeg().image()), run)).holds is Holds.LEG
    assert (await look("/dev/sdx", PLACE.uuid, Image(DiskLeg().image()), run)).holds is Holds.FOREIGN
    run.answer("wipefs", by=failed("wipefs"))
    assert (await look("/dev/sdx", ARRAY, Image(blank), run)).holds is Holds.UNREADABLE
