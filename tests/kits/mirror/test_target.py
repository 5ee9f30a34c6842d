"""What is served to the other nodes, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from recovery_kits.mirror import target
from recovery_kits.mirror.disk import Disk, Holds
from recovery_kits.mirror.listener import Export
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.sysfs import ArrayState
from recovery_kits.mirror.target import Target
from tests.kits.fakes import Table, tools
from tests.kits.mirror.keeper_world import PLACE
from tests.kits.mirror.test_kit import RUNNING
from tests.runtime.waiting import on_loop, until


class World:
    """A target whose server and array only remember."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.array: ArrayState | None = None
        self.disk = Disk(Holds.LEG)
        self.users: Mapping[str, list[str]] = {}
        self.served: Export | None = None
        self.starts = 0
        self.stuck = False
        self.said: list[str] = []
        self.looks = 0
        monkeypatch.setattr(target, "Server", self._server)
        monkeypatch.setattr(target, "users", lambda name: self.users.get(name, []))
        monkeypatch.setattr(target, "_present", lambda addresses: addresses)
        monkeypatch.setattr(target, "_LOOK_S", 0.01)
        monkeypatch.setattr(target, "_PAUSES_S", (0.01,))
        self.target = Target(PLACE, self, tools(Table(), self.said.append), self._look)  # type: ignore[arg-type]

    async def state(self) -> ArrayState | None:
        return self.array

    async def stop(self) -> None:
        self.array = None

    async def _look(self) -> Disk:
        self.looks += 1
        return self.disk

    def _server(self, export: Export, runtime: Path, run: object, credentials: object) -> FakeServer:
        return FakeServer(self, export)

    @asynccontextmanager
    async def standing_by(self) -> AsyncIterator[None]:
        """While it does."""
        task = asyncio.create_task(self.target.stand_by())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class FakeServer:
    """The server of one export."""

    def __init__(self, world: World, export: Export) -> None:
        self._world, self._export = world, export

    async def renew(self) -> None:
        pass

    async def running(self) -> bool:
        return self._world.served == self._export

    async def start(self) -> None:
        self._world.starts += 1
        self._world.served = self._export

    async def stop(self) -> None:
        if self._world.stuck:
            raise NbdError("m", "killed, but not gone")
        self._world.served = None


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.mark.parametrize("holds", [Holds.LEG, Holds.BLANK])
@on_loop
async def test_a_leg_is_served_durably_to_the_other_nodes_alone(world: World, holds: Holds) -> None:
    world.disk = Disk(holds)
    async with world.standing_by():
        await until(lambda: world.target.serving)
    assert world.served == Export(
        name="m",
        device="/dev/sdx",
        peers=("10.0.6.4",),
        listen=("10.0.3.4",),
        port=10_809,
    )


@on_loop
async def test_the_server_outlives_its_duty_and_is_started_again_when_it_ends(world: World) -> None:
    async with world.standing_by():
        await until(lambda: world.target.serving)
    assert world.served is not None
    async with world.standing_by():
        await until(lambda: world.target.serving)
        assert world.starts == 1
        world.served = None
        await until(lambda: world.starts == 2)


@pytest.mark.parametrize("holds", [Holds.FOREIGN, Holds.UNREADABLE])
@on_loop
async def test_a_disk_that_is_not_ours_is_not_served(world: World, holds: Holds) -> None:
    world.disk = Disk(holds, "/dev/sdx holds xfs")
    async with world.standing_by():
        await until(lambda: world.looks > 5)
        assert (world.target.serving, world.target.why) == (False, "/dev/sdx holds xfs")
        assert world.starts == 0
        assert world.said == ["its copy isn't served: /dev/sdx holds xfs"]
        world.disk = Disk(Holds.BLANK)
        await until(lambda: world.target.serving)
    assert world.target.why == ""


@on_loop
async def test_a_disk_in_use_is_not_served(world: World) -> None:
    world.users = {"sdx": ["mounted on /data"]}
    async with world.standing_by():
        await until(lambda: "mounted on /data" in world.target.why)
    assert world.starts == 0


@on_loop
async def test_an_array_that_somebody_assembled_is_stopped_first(world: World) -> None:
    world.array = RUNNING
    async with world.standing_by():
        await until(lambda: world.target.serving)
    assert world.array is None


@on_loop
async def test_while_an_array_is_in_use_here_nobody_else_may_write(world: World) -> None:
    async with world.standing_by():
        await until(lambda: world.target.serving)
        world.users, world.array = {"md127": ["mounted on /mnt/DIR1"]}, RUNNING
        await until(lambda: world.served is None)
        assert "mounted on /mnt/DIR1" in world.target.why
    assert world.array is RUNNING


@on_loop
async def test_the_end_is_not_told_before_the_server_is_gone(world: World) -> None:
    async with world.standing_by():
        await until(lambda: world.target.serving)
    world.stuck = True
    with pytest.raises(NbdError):
        await world.target.end()
    world.stuck = False
    await world.target.end()
    assert world.served is None
