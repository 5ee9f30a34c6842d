"""What a keeper does to its leg, and when: against a link and an array that only remember."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agent.core.ids import Instant
from recovery_kits.mirror.copies import Copies
from recovery_kits.mirror.keeper import Hands, Keeper
from recovery_kits.mirror.leg import Leg, read_leg
from recovery_kits.mirror.legs import Counted, Member
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.sysfs import ArrayState
from tests.kits.mirror.legs import DEVICES, FAULTY, DiskLeg, Image
from tests.kits.mirror.test_kit import RUNNING, member
from tests.kits.mirror.voters import Voters, telling
from tests.runtime.waiting import on_loop, until

PLACE = Place(
    tag="m",
    node="db-01",
    uuid=UUID(int=1),
    name="dir1",
    disk="/dev/sdx",
    port=10_809,
    own_addresses=("10.0.3.4",),
    peers={"db-02": ("10.0.6.4",)},
    dead_after_ms=2_000,
    runtime=Path("/nowhere"),
)
STEP_MS = 200


class FakeSession(Image):
    """A session that reads an image."""

    async def __aenter__(self) -> FakeSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self, offset: int, length: int) -> bytes:
        return await self(offset, length)


class World:
    """One keeper, its link and its array in one; `done` is what was done to them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.said: list[str] = []
        self.now = Instant(1_000)
        self.voters = Voters()
        self.voters.open.set()
        self.copies = Copies(self.voters, self.said.append, self.said.clear)
        self.waiting, self.answered = 0, 0
        self.leg: dict[str, Any] | None = {"slot": 1}  # md's, None: not in the array
        self.image: bytes | None = None  # behind a new connection; None: nobody answers
        self.index: int | None = 0
        self.dead, self.heard_all, self.address = False, True, "10.0.6.4"
        self.cut = asyncio.Event()
        self.fail_hangs = self.deaf = False
        hands = Hands(
            place=PLACE,
            array=self,  # type: ignore[arg-type]
            copies=self.copies,
            read_local=self._local,
            adding=asyncio.Lock(),
            clock_ms=lambda: self.now,
            log=self.said.append,
        )
        self.keeper = Keeper("db-02", hands)
        monkeypatch.setattr(self.keeper, "link", self)

    @property
    def device(self) -> str:
        return "" if self.index is None else f"nbd{self.index}"

    def find(self) -> None:
        pass

    def requests(self) -> tuple[int, int]:
        return self.waiting, self.answered

    async def open(self, *, limit_s: float) -> FakeSession:
        if self.image is None:
            raise NbdError("10.0.6.4:10809/m", "Connection refused")
        return FakeSession(self.image)

    async def open_other(self, *, limit_s: float) -> FakeSession:
        return await self.open(limit_s=limit_s)

    async def connect(self, _session: object) -> None:
        self.index, self.dead = 0, False
        self.done.append("connect")

    async def reconnect(self, _session: object) -> None:
        self.dead, self.heard_all = False, True
        self.done.append("reconnect")

    def flush(self) -> None:
        self.answered += not self.deaf

    async def disconnect(self) -> None:
        self.done.append("disconnect")
        self.cut.set()

    async def fail(self, device: str) -> None:
        if self.fail_hangs:
            await self.cut.wait()
        self.done.append(f"fail {device}")

    async def remove(self, device: str) -> None:
        self.done.append(f"remove {device}")
        self.leg = self.index = None

    async def add(self, device: str) -> None:
        self.done.append(f"add {device}")
        self.leg = {"slot": 1, "in_sync": False}

    async def re_add(self, device: str, chunks: object) -> None:
        self.done.append(f"re-add {device}")
        self.leg = {"slot": 1, "in_sync": False}

    async def _local(self) -> Leg:
        leg = await read_leg(Image(DiskLeg(number=0, device=DEVICES[0]).image()))
        assert isinstance(leg, Leg)
        return leg

    def state(self) -> ArrayState:
        others = () if self.leg is None else (member(self.device, **self.leg),)
        return replace(RUNNING, members=(member("sdx"), *others))

    async def live(self, steps: int) -> None:
        """As the source does: look, decide, say."""
        for _ in range(steps):
            self.now = Instant(self.now + STEP_MS)
            self.keeper.look(self.state())
            await self.keeper.step()
            self.copies.whole({"db-01", "db-02"} if self.keeper.whole else {"db-01"})
            for _ in range(10):
                await asyncio.sleep(0)  # whoever tells the voters has its turn


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@asynccontextmanager
async def healthy(world: World) -> AsyncIterator[None]:
    """In sync, and counted."""
    async with telling(world.copies):
        await world.live(3)
        assert world.copies.counted("db-02") is Counted.YES
        yield


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
