"""How a volume or an interface comes here while EC2 takes its time; a scripted EC2, for moto takes none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.aws import AwsError, AwsFault
from recovery_kits import attachment, patience
from recovery_kits.attachment import CannotMove, Move, until_there
from recovery_kits.contract import Site, Tools
from tests.kits.attachment.slow import SlowThing

SITE = Site(nodes={"db-01": ("10.0.3.4",), "db-03": ("10.0.3.5",)})
AUTHORITY_IS_OVER = AwsError(AwsFault.NO_AUTHORITY, "AttachVolume", "NoAuthority", "it has run out")
THROTTLED = AwsError(AwsFault.THROTTLED, "AttachVolume", "RequestLimitExceeded", "later")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachment, "PAUSE_S", 0.0)
    monkeypatch.setattr(attachment, "DEVICE_GRACE_S", 0.0)
    monkeypatch.setattr(patience, "BACKOFF_S", 0.0)


@pytest.fixture
def thing() -> SlowThing:
    """Free; i-1 is db-01, i-3 is this node, db-03; i-9 is somebody else's."""
    return SlowThing(
        **{"i-1": ("running", "10.0.3.4"), "i-3": ("running", "10.0.3.5"), "i-9": ("running", "10.0.3.99")}
    )


def tools_for(thing: SlowThing) -> Tools:
    aws: Any = SimpleNamespace(ec2=thing.ec2)
    run: Any = None  # a move runs no commands
    return Tools(tag="res", node="db-03", run=run, aws=aws, site=SITE)


async def move(thing: SlowThing, within_s: float = 60.0) -> None:
    until_s = asyncio.get_running_loop().time() + within_s
    await Move(thing, "i-3", tools_for(thing)).finish(until_s)


def test_a_free_thing_is_attached_once_and_waited_for(thing: SlowThing) -> None:
    asyncio.run(move(thing))
    assert thing.at == attachment.Attachment("i-3", "attached", "attach-1")
    asyncio.run(move(thing))
    assert thing.changes == ["attach i-3"]


def test_it_is_taken_from_the_former_owner_once_it_has_left(thing: SlowThing) -> None:
    thing.attach_now("i-1")
    asyncio.run(move(thing))
    assert thing.changes == ["detach i-1", "attach i-3"]


@pytest.mark.parametrize("state", ["attaching", "detaching"])
def test_what_is_under_way_here_is_waited_for(thing: SlowThing, state: str) -> None:
    thing.attach_now("i-3", state)
    asyncio.run(move(thing))
    assert thing.changes == ([] if state == "attaching" else ["attach i-3"])


def test_what_is_leaving_the_former_owner_already_is_not_asked_to_again(thing: SlowThing) -> None:
    thing.attach_now("i-1", "detaching")
    asyncio.run(move(thing))
    assert thing.changes == ["attach i-3"]


@pytest.mark.parametrize("state", ["stopped", "terminated"])
@pytest.mark.parametrize("was", ["attached", "busy", "detaching"])
def test_a_machine_that_is_off_is_forced_whosever_it_is(thing: SlowThing, state: str, was: str) -> None:
    thing.instances["i-9"] = (state, "")
    thing.holds.add("i-9")
    thing.attach_now("i-9", was)
    asyncio.run(move(thing))
    assert thing.changes == ["force i-9", "attach i-3"]


@pytest.mark.parametrize("state", ["running", "stopping", "shutting-down", "pending"])
def test_a_machine_that_may_be_on_is_never_forced(thing: SlowThing, state: str) -> None:
    thing.instances["i-1"] = (state, "10.0.3.4")
    thing.holds.add("i-1")
    thing.attach_now("i-1")
    with pytest.raises(CannotMove, match=r"still busy at i-1 after [0-9]+ s; stop i-1") as caught:
        asyncio.run(move(thing, within_s=0.1))
    assert caught.value.passing
    assert thing.changes == ["detach i-1"]


def test_force_comes_as_soon_as_the_former_owner_is_off(thing: SlowThing) -> None:
    thing.holds.add("i-1")
    thing.attach_now("i-1", "busy")

    async def stopped_meanwhile() -> None:
        moving = asyncio.create_task(move(thing))
        for _ in range(50):
            await asyncio.sleep(0)
        assert thing.changes == []
        thing.instances["i-1"] = ("stopped", "10.0.3.4")
        await moving

    asyncio.run(stopped_meanwhile())
    assert thing.changes == ["force i-1", "attach i-3"]


@pytest.mark.parametrize("shows", [True, False])
def test_nothing_is_taken_from_a_machine_outside_the_hierarchy(thing: SlowThing, shows: bool) -> None:
    """Nor from one that EC2 doesn't describe."""
    thing.shows = shows
    thing.attach_now("i-9")
    with pytest.raises(CannotMove, match=r"i-9, which is .* and no node of this hierarchy") as caught:
        asyncio.run(move(thing))
    assert not caught.value.passing
    assert thing.changes == []


def test_a_machine_of_another_vpc_is_no_node_though_it_has_a_nodes_address(thing: SlowThing) -> None:
    """A copy of the whole environment has."""
    thing.elsewhere.add("i-1")
    thing.attach_now("i-1")
    with pytest.raises(CannotMove, match="i-1, which is running and no node of this hierarchy"):
        asyncio.run(move(thing))
    assert thing.changes == []


@pytest.mark.parametrize("state", ["stopping", "shutting-down"])
def test_a_machine_outside_the_hierarchy_that_is_ending_is_waited_for(thing: SlowThing, state: str) -> None:
    """A node that is being terminated may have lost its addresses already."""
    thing.instances["i-9"] = (state, "")
    thing.attach_now("i-9")
    with pytest.raises(CannotMove, match=r"still attached at i-9 after [0-9]+ s") as caught:
        asyncio.run(move(thing, within_s=0.1))
    assert caught.value.passing
    assert thing.changes == []
    thing.instances["i-9"] = ("stopped", "")
    asyncio.run(move(thing))
    assert thing.changes == ["force i-9", "attach i-3"]


def test_nothing_is_taken_from_what_is_no_instance(thing: SlowThing) -> None:
    thing.attach_now("")
    with pytest.raises(CannotMove, match="no node of this hierarchy"):
        asyncio.run(move(thing))
    assert thing.changes == []


def test_a_former_owner_that_was_quicker_is_taken_from_again(thing: SlowThing) -> None:
    """Its late AttachVolume lands just before this node's, which EC2 refuses."""
    attach = thing.attach

    async def too_late(instance: str) -> None:
        thing.attach_now("i-1")
        thing.attach = attach  # type: ignore[method-assign]
        await attach(instance)

    thing.attach = too_late  # type: ignore[method-assign]
    asyncio.run(move(thing))
    assert thing.changes == ["attach i-3", "detach i-1", "attach i-3"]
    assert thing.at is not None
    assert thing.at.instance == "i-3"


@pytest.mark.parametrize("lost", [1, 2, 3, 4, 6])
def test_a_change_whose_answer_was_lost_counts_if_it_shows(thing: SlowThing, lost: int) -> None:
    thing.attach_now("i-1")
    thing.lost = lost
    asyncio.run(move(thing))
    assert thing.at is not None
    assert thing.at.instance == "i-3"


def test_a_change_that_nobody_answers_and_that_does_not_show_is_given_up(thing: SlowThing) -> None:
    thing.refuses = THROTTLED
    with pytest.raises(AwsError) as caught:
        asyncio.run(move(thing))
    assert caught.value is THROTTLED


def test_without_authority_nothing_is_tried_twice(thing: SlowThing) -> None:
    thing.refuses = AUTHORITY_IS_OVER
    with pytest.raises(AwsError) as caught:
        asyncio.run(move(thing))
    assert caught.value is AUTHORITY_IS_OVER


def test_what_never_gets_attached_is_a_failure_in_the_end(thing: SlowThing) -> None:
    thing.refuses = AwsError(AwsFault.REFUSED, "AttachVolume", "IncorrectState", "it is being created")
    with pytest.raises(CannotMove, match=r"isn't attached after [0-9]+ s, nor refused") as caught:
        asyncio.run(move(thing, within_s=0.1))
    assert not caught.value.passing


@pytest.mark.parametrize("last_seen", [None, "i-3"])
def test_time_that_went_by_while_it_left_the_former_owner_is_no_failure(
    thing: SlowThing, monkeypatch: pytest.MonkeyPatch, last_seen: str | None
) -> None:
    """The next try has all of it for attaching."""
    thing.attach_now("i-1")
    look, within_s = thing.look, 0.2

    async def takes_all_the_time() -> attachment.Attachment | None:
        seen = await look()
        if (seen.instance if seen else None) == last_seen:
            await asyncio.sleep(within_s)
        return seen

    monkeypatch.setattr(thing, "look", takes_all_the_time)
    with pytest.raises(CannotMove) as caught:
        asyncio.run(move(thing, within_s))
    assert caught.value.passing


@pytest.mark.parametrize("was_at", ["i-1", ""])
def test_a_move_that_is_cut_short_anywhere_is_finished_by_the_next(thing: SlowThing, was_at: str) -> None:
    async def cut_short(after: int) -> bool:
        thing.begin_afresh(was_at)
        moving = asyncio.create_task(move(thing))
        for _ in range(after):
            await asyncio.sleep(0)
        ended = moving.done()
        moving.cancel()
        await asyncio.gather(moving, return_exceptions=True)
        await move(thing)
        assert thing.at is not None
        assert (thing.at.instance, thing.at.state) == ("i-3", "attached")
        assert len(thing.changes) <= 4, thing.changes  # at most each of the two a second time
        return ended

    places = next(after for after in range(1_000) if asyncio.run(cut_short(after)))
    assert places > 10


def test_a_device_is_waited_for_and_no_longer_than_told(tmp_path: Path) -> None:
    device = tmp_path / "device"

    def find() -> Path | None:
        return device if device.exists() else None

    async def appears_later() -> Path | None:
        clock = asyncio.get_running_loop().time
        assert await until_there(find, clock()) is None
        waiting = asyncio.create_task(until_there(find, clock() + 60.0))
        await asyncio.sleep(0)
        device.touch()
        return await waiting

    assert asyncio.run(appears_later()) == device


def test_a_device_has_a_moment_to_appear_however_late_it_was_attached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attachment, "DEVICE_GRACE_S", 60.0)
    looks = iter([None, None, "there"])

    async def appears() -> str | None:
        return await until_there(lambda: next(looks), asyncio.get_running_loop().time())

    assert asyncio.run(appears()) == "there"
