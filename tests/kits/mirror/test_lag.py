"""What becomes of a leg in mode async, whose copy may be behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.legs import Counted
from recovery_kits.mirror.relay.backlog import Report
from tests.kits.mirror.keeper_world import PLACE, STEP_MS, FakeOwed, FakeSession, World, healthy
from tests.kits.mirror.legs import DiskLeg
from tests.kits.mirror.voters import telling
from tests.runtime.waiting import on_loop

ON_RECORD = Chunks(((3, 4),))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """The leg is connected, by a relay that has something on record."""
    monkeypatch.setattr(FakeSession, "description", "async ")
    return World(monkeypatch, replace(PLACE, mode="async"), FakeOwed({"db-02": ON_RECORD}))


@on_loop
async def test_a_leg_whose_relay_died_gets_what_was_on_its_way(world: World) -> None:
    world.image = DiskLeg(dirty=(9,)).image()
    async with healthy(world):
        world.dead = True
        await world.live(10)
        assert world.done[:3] == ["fail nbd0", "disconnect", "remove nbd0"]
        await world.live(10)
        assert world.done[3:] == ["connect", "re-add nbd0"]
        assert world.chunks is not None
        assert Chunks(((3, 4), (9, 9))) - world.chunks == Chunks()
        assert world.owed.notes == ["everything", "known"]


@on_loop
async def test_a_copy_of_which_nothing_is_known_is_made_anew(world: World) -> None:
    world.image = DiskLeg().image()
    world.owed.nodes["db-02"] = None
    async with healthy(world):
        world.dead = True
        await world.live(20)
        assert world.done[3:] == ["connect", "add nbd0"]


@on_loop
async def test_a_completed_copy_counts_when_its_relay_has_sent_what_it_had(world: World) -> None:
    world.leg = {"slot": 1, "in_sync": False}
    async with telling(world.copies):
        await world.live(4)
        world.leg = {"slot": 1}
        world.owed.told = Report(at_ms=world.now + STEP_MS, lag_bytes=4_096, lag_ms=STEP_MS * 2)
        await world.live(4)
        assert world.copies.counted("db-02") is Counted.NO
        world.owed.told = Report(at_ms=world.now, lag_bytes=4_096, lag_ms=STEP_MS)
        await world.live(3)
        assert world.copies.counted("db-02") is Counted.YES
        assert world.keeper.details()["lag_bytes"] == 4_096


@on_loop
async def test_a_copy_completed_while_no_agent_ran_counts_no_earlier(world: World) -> None:
    world.owed.told = Report(at_ms=world.now, lag_bytes=4_096, lag_ms=STEP_MS)
    async with telling(world.copies):
        await world.live(5)
        assert world.copies.counted("db-02") is Counted.NO
        world.owed.told = Report(at_ms=world.now, lag_bytes=0, lag_ms=0)
        await world.live(3)
        assert world.copies.counted("db-02") is Counted.YES


@on_loop
async def test_a_copy_that_counts_may_be_behind_when_the_agent_starts(world: World) -> None:
    world.owed.told = Report(at_ms=world.now, lag_bytes=4_096, lag_ms=STEP_MS)
    async with telling(world.copies):
        await world.voters.agree({"db-01", "db-02"})
        await world.live(5)
    assert {"db-01"} not in world.voters.asked


@on_loop
async def test_a_relay_that_may_be_behind_is_replaced_once_the_mode_is_sync(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, owed=FakeOwed({"db-02": ON_RECORD}))
    world.image = DiskLeg().image()
    world.keeper.find()
    async with telling(world.copies):
        await world.live(10)
        assert world.done == ["fail nbd0", "disconnect", "remove nbd0", "connect", "re-add nbd0"]
        assert world.chunks is not None
        assert ON_RECORD - world.chunks == Chunks()
        assert world.owed.notes == ["settled"]
