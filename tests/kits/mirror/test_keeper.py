"""What a keeper does to its leg, and when."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from agent.core.ids import Instant
from recovery_kits.mirror.legs import Counted, Member
from recovery_kits.mirror.turns import Queued
from tests.kits.mirror.keeper_world import PLACE, STEP_MS, World, healthy
from tests.kits.mirror.legs import FAULTY, DiskLeg
from tests.kits.mirror.voters import telling
from tests.runtime.waiting import on_loop, until


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@on_loop
async def test_a_leg_that_answers_nothing_is_detached_once_the_voters_agree(world: World) -> None:
    async with healthy(world):
        world.voters.open.clear()
        world.waiting = 3
        await world.live(40)
        assert world.voters.asked[-1] == {"db-01"}
        assert world.done == []  # however long it takes them
        world.voters.open.set()
        await until(lambda: world.copies.counted("db-02") is Counted.NO)
        await world.live(1)
        assert world.done == ["fail nbd0", "disconnect", "remove nbd0"]


@on_loop
async def test_a_leg_is_released_even_if_failing_it_waits_for_what_waits(world: World) -> None:
    world.fail_hangs = True
    async with healthy(world):
        world.waiting = 3
        await world.live(15)
        assert world.done == ["disconnect", "fail nbd0", "remove nbd0"]


@on_loop
async def test_a_dead_link_gets_another_connection_and_the_copy_goes_on_counting(world: World) -> None:
    world.image = DiskLeg().image()
    async with healthy(world):
        world.dead = True
        await world.live(2)
        assert world.done == ["reconnect"]
        world.answered += 1
        await world.live(20)
        assert world.copies.counted("db-02") is Counted.YES


@on_loop
async def test_a_leg_that_takes_connections_and_answers_nothing_is_detached(world: World) -> None:
    world.image, world.deaf = DiskLeg().image(), True
    async with healthy(world):
        world.dead = True
        await world.live(30)  # nothing of what waits is in the device's counters
        assert world.done[:4] == ["reconnect", "fail nbd0", "disconnect", "remove nbd0"]


@on_loop
async def test_a_link_that_may_have_died_unheard_is_taken_for_dead_once(world: World) -> None:
    world.image = DiskLeg().image()
    async with healthy(world):
        world.heard_all, world.waiting = False, 3
        await world.live(8)
        assert world.done == ["reconnect"]
        assert not world.dead


@on_loop
async def test_a_leg_that_was_used_meanwhile_is_detached_and_attached_anew(world: World) -> None:
    world.image = DiskLeg(roles=[FAULTY, 1], dirty=(7,)).image()
    async with healthy(world):
        world.dead = True
        await world.live(10)
        assert world.done[:3] == ["fail nbd0", "disconnect", "remove nbd0"]
        await world.live(10)
        assert world.done[3:] == ["connect", "re-add nbd0"]
        assert world.copies.counted("db-02") is Counted.NO  # while it is copied to


@on_loop
async def test_a_copy_counts_again_when_md_says_that_it_is_whole(world: World) -> None:
    world.leg, world.index = None, None
    world.image = bytes(1 << 20)
    async with telling(world.copies):
        await world.live(8)
        assert world.done == ["connect", "add nbd0"]
        assert world.keeper.details()["state"] == "copying"
        assert world.copies.counted("db-02") is Counted.NO
        world.leg = {"slot": 1}
        await world.live(3)
        assert world.copies.counted("db-02") is Counted.YES
        assert world.keeper.details()["state"] == "in-sync"
        assert world.keeper.last is not None
        assert world.keeper.last.kind == "full"


@on_loop
async def test_a_node_that_is_not_there_is_told_once_and_tried_again(world: World) -> None:
    world.leg, world.index = None, None
    async with telling(world.copies):
        await world.live(100)
        assert world.keeper.details()["state"] == "unreachable"
        assert "Connection refused" in world.keeper.details()["why"]
        world.image = DiskLeg().image()
        await world.live(60)
        assert world.done == ["connect", "re-add nbd0"]


@on_loop
async def test_a_disk_with_something_else_on_it_is_never_connected(world: World) -> None:
    world.leg, world.index = None, None
    world.image = b"XFSB" * (1 << 18)
    async with telling(world.copies):
        await world.live(100)
        assert world.keeper.details()["state"] == "refused"
        assert world.done == []


@on_loop
async def test_a_disk_that_takes_no_write_is_not_given_to_md(world: World) -> None:
    world.leg, world.index = None, None
    world.image, world.full = DiskLeg().image(), True
    async with telling(world.copies):
        await world.live(100)
        assert world.done == []
        assert world.keeper.details()["state"] == "unreachable"
        assert "its disk takes no write: no answer within 5 s" in world.keeper.details()["why"]
        world.full = False
        await world.live(60)
        assert world.done == ["connect", "re-add nbd0"]


@on_loop
async def test_a_leg_that_falls_silent_while_it_is_copied_to_is_copied_to_ever_more_rarely(
    world: World,
) -> None:
    """Each time, what is written waits for it."""
    world.leg, world.index = None, None
    world.image = DiskLeg().image()
    begun = list[Instant]()
    async with telling(world.copies):
        for _ in range(2_000):
            await world.live(1)
            if "re-add nbd0" in world.done:
                world.done.clear()
                begun.append(world.now)
            world.waiting = 3 * (world.device != "")
    pauses = [after - first for first, after in pairwise(begun)]
    assert len(pauses) >= 3
    assert pauses == sorted(pauses)
    assert pauses[2] >= 60_000


@on_loop
async def test_a_paused_leg_is_detached_and_stays_so(world: World) -> None:
    world.image = DiskLeg().image()
    async with healthy(world):
        world.keeper.paused = True
        await world.live(60)
        assert world.done == ["fail nbd0", "disconnect", "remove nbd0"]
        assert world.keeper.details()["state"] == "paused"
        world.keeper.paused = False
        await world.live(3)
        assert world.done[3:] == ["connect", "re-add nbd0"]


@on_loop
async def test_a_leg_with_a_block_that_could_not_be_written_is_no_copy(world: World) -> None:
    async with healthy(world):
        world.leg = {"slot": 1, "bad_blocks": True}
        await world.live(3)
        assert world.keeper.member in {Member.FAULTY, Member.ABSENT}
        assert "remove nbd0" in world.done


@on_loop
async def test_a_copy_counts_only_when_its_disk_notes_what_others_lack(world: World) -> None:
    world.leg, world.index, world.image = None, None, DiskLeg().image()
    async with telling(world.copies):
        await world.live(5)
        world.leg, world.unshared = {"slot": 1}, 2
        await world.live(1)
        assert world.copies.counted("db-02") is Counted.NO
        assert "hasn't noted 3 chunks" in world.keeper.details()["why"]
        await world.live(30)
        assert world.copies.counted("db-02") is Counted.YES
        assert world.keeper.details()["why"] == ""


@on_loop
async def test_a_copy_that_the_voters_never_counted_is_not_taken_for_whole(world: World) -> None:
    """An agent before this one may have ended just before its bitmap was."""
    world.unshared = 1 << 30
    async with telling(world.copies):
        await world.live(5)
    assert world.voters.asked == [{"db-01"}]


@on_loop
async def test_a_full_copy_is_broken_off_for_a_leg_that_lacks_little(world: World) -> None:
    world.leg, world.index, world.image = None, None, bytes(1 << 20)
    async with telling(world.copies):
        await world.live(5)
        assert world.keeper.details()["state"] == "copying"
        with pytest.raises(Queued, match="until db-02 has a whole copy"):
            world.turns.take("db-03", full=False)
        await world.live(5)
        assert world.done == ["connect", "add nbd0", "fail nbd0", "disconnect", "remove nbd0"]
        world.turns.take("db-03", full=False)
        await world.live(60)
        assert world.keeper.details()["state"] == "queued"
        assert world.keeper.details()["why"] == "it waits until db-03 has a whole copy"
        assert len(world.done) == 5
        world.turns.leave("db-03")
        await world.live(2)
        assert world.done[5:] == ["connect", "add nbd0"]


async def answer(world: World, each_ms: int, for_ms: int) -> None:
    """One request after the other, each answered after so long."""
    for passed_ms in range(0, for_ms, STEP_MS):
        if passed_ms % each_ms < STEP_MS:
            world.answered, world.busy_ms = world.answered + 1, world.busy_ms + each_ms
        await world.live(1)


@on_loop
async def test_a_leg_that_answers_too_late_is_told_and_kept(world: World) -> None:
    async with healthy(world):
        await answer(world, 800, 10_000)
        assert 700 < world.keeper.slow_ms < 900
        assert world.keeper.details()["answer_ms"] == world.keeper.slow_ms
        assert world.done == []
        assert world.copies.counted("db-02") is Counted.YES
        await answer(world, STEP_MS, 10_000)
        assert world.keeper.slow_ms == 0


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> World:
    """Where slow legs are done without."""
    return World(monkeypatch, replace(PLACE, drops_slow=True))


@on_loop
async def test_a_leg_that_answers_too_late_is_done_without_for_a_while(strict: World) -> None:
    strict.image = DiskLeg().image()
    async with healthy(strict):
        strict.voters.open.clear()
        await answer(strict, 800, 20_000)
        assert strict.done == []  # however long it takes the voters
        strict.voters.open.set()
        await until(lambda: strict.copies.counted("db-02") is Counted.NO)
        await strict.live(2)
        assert strict.done == ["fail nbd0", "disconnect", "remove nbd0"]
        await strict.live(20)
        assert strict.keeper.details()["state"] == "slow"
        assert "ms for an answer; it is tried again after 5 min" in strict.keeper.details()["why"]
        assert len(strict.done) == 3
        await strict.live(300_000 // STEP_MS)
        assert strict.done[3:] == ["connect", "re-add nbd0"]
        strict.leg = {"slot": 1}
        strict.busy_ms += 1 << 20  # copying kept it busy
        strict.answered += 1_000
        await strict.live(60)
        assert strict.copies.counted("db-02") is Counted.YES  # judged by what it does as a copy


@on_loop
async def test_an_operators_word_takes_a_slow_leg_back_at_once(strict: World) -> None:
    strict.image = DiskLeg().image()
    async with healthy(strict):
        await answer(strict, 800, 10_000)
        await strict.live(10)
        assert strict.keeper.details()["state"] == "slow"
        strict.keeper.try_now()
        await strict.live(2)
        assert strict.done[3:] == ["connect", "re-add nbd0"]


@pytest.mark.parametrize("disk_ms", [800, 30_000, None])  # as slow; it hangs; nobody knows
@on_loop
async def test_a_leg_is_not_done_without_where_this_nodes_disk_is_no_quicker(
    strict: World, disk_ms: int | None
) -> None:
    async with healthy(strict):
        strict.disk_ms = disk_ms
        await answer(strict, 800, 30_000)
        assert strict.keeper.slow_ms == 0
        assert strict.done == []
        assert strict.copies.counted("db-02") is Counted.YES


@on_loop
async def test_answers_that_a_dead_link_held_up_are_no_slowness(strict: World) -> None:
    strict.image = DiskLeg().image()
    async with healthy(strict):
        await answer(strict, STEP_MS, 6_000)
        strict.waiting, strict.dead = 20, True
        await strict.live(5)
        assert strict.done == ["reconnect"]
        strict.waiting, strict.answered, strict.busy_ms = 0, strict.answered + 20, strict.busy_ms + 30_000
        await strict.live(60)
        assert strict.done == ["reconnect"]
        assert strict.keeper.slow_ms == 0
