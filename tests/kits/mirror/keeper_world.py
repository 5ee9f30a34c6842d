"""One keeper of a leg, against a link, an array and a note that only remember."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agent.core.ids import Instant
from recovery_kits.mirror.answers import Answers
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.copies import Copies
from recovery_kits.mirror.keeper import Hands, Keeper
from recovery_kits.mirror.leg import Leg, read_leg
from recovery_kits.mirror.legs import Counted
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.place import Place
from recovery_kits.mirror.relay.backlog import Report
from recovery_kits.mirror.sysfs import ArrayState
from recovery_kits.mirror.turns import Turns
from tests.kits.mirror.legs import DEVICES, DiskLeg, Image
from tests.kits.mirror.test_kit import RUNNING, member
from tests.kits.mirror.voters import Voters, telling

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
    slow_after_ms=500,
)
STEP_MS = 200


class FakeSession(Image):
    """A session that reads an image, and takes no write where it is `full`."""

    description = "sync "

    def __init__(self, image: bytes, *, full: bool) -> None:
        super().__init__(image)
        self._full = full

    async def __aenter__(self) -> FakeSession:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self, offset: int, length: int) -> bytes:
        return await self(offset, length)

    async def rewrite(self, offset: int, length: int) -> None:
        await self(offset, length)
        if self._full:
            raise NbdError("10.0.6.4:10809/m", "no answer within 5 s")


class FakeOwed:
    """An `Owed` that remembers what was noted."""

    def __init__(self, nodes: dict[str, Chunks | None]) -> None:
        self.nodes = nodes  # -> what the relay's record says; None: nothing tells
        self.told: Report | None = Report(at_ms=1 << 40, lag_bytes=0, lag_ms=0)  # everything has been sent
        self.notes: list[str] = []

    def __contains__(self, node: str) -> bool:
        return node in self.nodes

    def report(self, _node: str) -> Report | None:
        return self.told

    def room(self, _node: str) -> Path:
        return Path("/nowhere")

    def lacking(self, node: str, _data_at_bytes: int, _chunk_bytes: int) -> Chunks | None:
        return self.nodes.get(node, Chunks())

    async def everything(self, node: str) -> None:
        self.nodes[node] = None
        self.notes.append("everything")

    async def known(self, node: str, _directory: Path) -> None:
        self.nodes[node] = Chunks()
        self.notes.append("known")

    async def settle(self, node: str) -> None:
        if node in self.nodes:
            del self.nodes[node]
            self.notes.append("settled")


class World:
    """One keeper, its link and its array in one; `done` is what was done to them."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, place: Place = PLACE, owed: FakeOwed | None = None
    ) -> None:
        self.owed = owed or FakeOwed({})
        self.done: list[str] = []
        self.said: list[str] = []
        self.now = Instant(1_000)
        self.voters = Voters()
        self.voters.open.set()
        self.copies = Copies(self.voters, self.said.append, self.said.clear)
        self.waiting, self.answered, self.busy_ms = 0, 0, 0
        self.disk_ms: int | None = 1  # what this node's disk takes for an answer
        self.leg: dict[str, Any] | None = {"slot": 1}  # md's, None: not in the array
        self.image: bytes | None = None  # behind a new connection; None: nobody answers
        self.index: int | None = 0
        self.dead, self.heard_all, self.address = False, True, "10.0.6.4"
        self.cut = asyncio.Event()
        self.fail_hangs = self.deaf = self.full = False
        self.unshared = 0  # how often the leg's bitmap still lacks something
        self.turns = Turns()
        self.chunks: Chunks | None = None  # that were re-added last
        hands = Hands(
            place=place,
            array=self,  # type: ignore[arg-type]
            copies=self.copies,
            read_local=self._local,
            adding=asyncio.Lock(),
            turns=self.turns,
            owed=self.owed,  # type: ignore[arg-type]
            clock_ms=lambda: self.now,
            log=self.said.append,
            disk_ms=lambda: self.disk_ms,
        )
        self.keeper = Keeper("db-02", hands)
        monkeypatch.setattr(self.keeper, "link", self)

    @property
    def device(self) -> str:
        return "" if self.index is None else f"nbd{self.index}"

    def find(self) -> None:
        pass

    def answers(self) -> Answers:
        return Answers(self.waiting, self.answered, self.busy_ms)

    async def open(self, *, limit_s: float) -> FakeSession:
        if self.image is None:
            raise NbdError("10.0.6.4:10809/m", "Connection refused")
        return FakeSession(self.image, full=self.full)

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

    async def re_add(self, device: str, chunks: Chunks) -> None:
        self.chunks = chunks
        self.done.append(f"re-add {device}")
        self.leg = {"slot": 1, "in_sync": False}

    async def make_room(self, legs: int) -> None:
        assert legs == 2

    async def share_bitmap(self, device: str) -> None:
        if self.unshared:
            self.unshared -= 1
            raise OSError(errno.EIO, f"{device} hasn't noted 3 chunks yet that another leg lacks")

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


@asynccontextmanager
async def healthy(world: World) -> AsyncIterator[None]:
    """In sync, and counted."""
    async with telling(world.copies):
        await world.live(3)
        assert world.copies.counted("db-02") is Counted.YES
        yield
