"""The kit's actions against an array that only remembers what was done to it, and in which order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from agent.core.states import Health
from recovery_kits.blocking import Blocking
from recovery_kits.contract import KitError, NotAgreed, Site, Tools
from recovery_kits.mirror import MirrorKit, kit
from recovery_kits.mirror.array import Array
from recovery_kits.mirror.disk import Disk, Holds
from recovery_kits.mirror.link import Link
from recovery_kits.mirror.parameters import MirrorParameters
from recovery_kits.mirror.source import HUNG_MS
from recovery_kits.mirror.sysfs import ArrayState, InFlight, MemberState
from tests.kits.fakes import NoAws, Table
from tests.runtime.waiting import on_loop

IDLE = InFlight(0, 0)
NODES = {"db-01": ("10.0.3.4",), "db-02": ("10.0.6.4",)}


def member(name: str, **different: Any) -> MemberState:
    healthy: dict[str, Any] = {
        "slot": 0,
        "in_sync": True,
        "faulty": False,
        "write_mostly": False,
        "errors": 0,
        "bad_blocks": False,
        "in_flight": IDLE,
    }
    return MemberState(name=name, **{**healthy, **different})


RUNNING = ArrayState(
    name="md127",
    uuid=UUID(int=1),
    state="clean",
    raid_disks=2,
    degraded=1,
    sync_action="idle",
    sync_done_bytes=None,
    sync_total_bytes=None,
    sync_bytes_per_s=None,
    mismatch_bytes=0,
    last_sync_action="idle",
    size_bytes=1 << 30,
    in_flight=IDLE,
    members=(member("sdx"),),
)


class World:
    """A kit, and what happens to its array, its server, its links and the voters, in `done`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.done: list[str] = []
        self.running: ArrayState | None = None
        self.users: list[str] = []
        self.found = Disk(Holds.LEG)
        self.fails: dict[str, Exception] = {}
        self.hangs_until = asyncio.Event()
        self.hangs_until.set()
        run = Table()
        run.answer("modprobe")
        site = Site(cluster="lab", nodes=NODES, state_dir=folder, runtime_dir=folder)
        tools = Tools(tag="m", node="db-01", run=run, aws=NoAws(), replicas=self, site=site)  # type: ignore[arg-type]
        self.kit = MirrorKit(MirrorParameters(disk=Path("/dev/sdx")), tools)
        monkeypatch.setattr(self.kit, "_array", self)
        monkeypatch.setattr(self.kit, "_look", self._look)
        monkeypatch.setattr(self.kit._target, "end", self._step("server ended"))
        monkeypatch.setattr(kit, "users", lambda _name: self.users)
        monkeypatch.setattr(Link, "disconnect", lambda _link: self._disconnect())

    def in_sync(self) -> tuple[str, ...]:
        return ("db-01", "db-02")

    async def agree(self, nodes: Collection[str]) -> None:
        self._do(f"agreed on {', '.join(sorted(nodes))}")

    async def state(self) -> ArrayState | None:
        return self.running

    async def assemble(self, *, read_only: bool) -> None:
        self._do("assembled read-only" if read_only else "assembled")
        self.running = replace(RUNNING, state="readonly")

    async def read_write(self) -> None:
        self._do("writable")
        self.running = RUNNING

    async def stop(self) -> None:
        await self.hangs_until.wait()
        self._do("stopped")
        self.running = None

    async def _disconnect(self) -> None:
        self._do("disconnected")
        self.hangs_until.set()

    async def _look(self) -> Disk:
        return self.found

    def _step(self, what: str) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            self._do(what)

        return step

    def _do(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]
        self.done.append(what)


PROMOTED = ["server ended", "disconnected", "assembled read-only", "agreed on db-01", "writable"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(monkeypatch, tmp_path)


@on_loop
async def test_nothing_is_written_before_it_is_agreed_that_this_copy_alone_counts(world: World) -> None:
    await world.kit.restore()
    assert world.done == PROMOTED


@on_loop
async def test_what_runs_already_is_left_as_it_is(world: World) -> None:
    world.running = RUNNING
    await world.kit.restore()
    assert world.done == []


@pytest.mark.parametrize("last", range(1, len(PROMOTED)))
@on_loop
async def test_a_promotion_that_failed_is_finished_by_the_next(world: World, last: int) -> None:
    fault = NotAgreed("no majority") if PROMOTED[last].startswith("agreed") else OSError(5, "it broke")
    world.fails = {PROMOTED[last]: fault}
    with pytest.raises(KitError):
        await world.kit.restore()
    assert world.done == PROMOTED[:last]
    world.fails = {}
    await world.kit.restore()
    assert world.done[-2:] == PROMOTED[-2:]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Disk(Holds.BLANK), "kage mirror create m"),
        (Disk(Holds.FOREIGN, "/dev/sdx holds xfs"), "holds xfs"),
        (Disk(Holds.UNREADABLE, "/dev/sdx can't be read"), "can't be read"),
    ],
)
@on_loop
async def test_what_is_no_copy_is_not_promoted(world: World, found: Disk, why: str) -> None:
    world.found = found
    with pytest.raises(KitError, match=why):
        await world.kit.restore()
    assert "assembled read-only" not in world.done


@on_loop
async def test_a_mirror_in_use_is_not_stopped(world: World) -> None:
    world.running, world.users = RUNNING, ["mounted on /mnt/DIR1"]
    for action in (world.kit.remove, world.kit.force_remove):
        with pytest.raises(KitError, match="mounted on /mnt/DIR1"):
            await action()
    assert world.done == []


@on_loop
async def test_removing_needs_no_other_node(world: World) -> None:
    world.running = RUNNING
    world.hangs_until.clear()  # until the links are cut
    await world.kit.remove()
    assert world.done == ["disconnected", "stopped", "disconnected"]
    await world.kit.remove()
    assert world.done[3:] == ["disconnected"]


@on_loop
async def test_a_copy_that_did_not_get_everything_counts_no_more_when_the_mirror_is_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drained(_node: str) -> bool:
        return False

    owed = world.kit._owed
    monkeypatch.setattr(owed, "drained", drained)
    world.fails = {"agreed on db-01": NotAgreed("no majority")}
    with pytest.raises(KitError, match="no majority"):
        await world.kit.remove()
    assert "db-02" not in owed  # another try comes to the same
    world.fails = {}
    await world.kit.remove()
    assert world.done[-1] == "agreed on db-01"
    assert "db-02" in owed


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (None, "doesn't run"),
        (replace(RUNNING, state="inactive"), "doesn't run"),
        (replace(RUNNING, state="readonly"), "read-only"),
        (replace(RUNNING, members=(member("nbd0"),)), "has failed"),
        (replace(RUNNING, members=(member("sdx", faulty=True, in_sync=False),)), "has failed"),
        (replace(RUNNING, members=(member("sdx", bad_blocks=True),)), "couldn't be written"),
    ],
)
@on_loop
async def test_a_mirror_without_this_nodes_disk_has_failed(
    world: World, state: ArrayState | None, why: str
) -> None:
    world.running = state
    check = await world.kit.quick_check()
    assert check.health is Health.FAILED
    assert why in check.why


@on_loop
async def test_a_disk_that_hangs_has_failed_and_is_not_repaired_here(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging:
        disk_stalled_ms = HUNG_MS

    world.running = RUNNING
    assert (await world.kit.quick_check()).health is Health.OK
    monkeypatch.setattr(world.kit._controls, "source", Hanging())
    assert "has answered nothing for 10 s" in (await world.kit.quick_check()).why
    with pytest.raises(KitError, match="another node's copy must take over"):
        await world.kit.recover()
    assert world.done == []


@on_loop
async def test_a_disk_that_is_slow_is_told_and_moves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        disk_stalled_ms = 0
        state, resync_limit = RUNNING, 0
        disk_slow, targets_slow = "", "db-02 takes 800 ms for an answer"

        def details(self) -> list[object]:
            return []

    world.running = RUNNING
    monkeypatch.setattr(world.kit._controls, "source", slow := Slow())
    check = await world.kit.quick_check()
    assert (check.health, check.why) == (Health.UNKNOWN, slow.targets_slow)
    assert world.kit.details()["disk"]["state"] == "ok"
    slow.disk_slow = "/dev/sdx takes 900 ms for an answer"
    check = await world.kit.quick_check()
    assert (check.health, check.why) == (Health.UNKNOWN, slow.disk_slow)
    told = {"path": "/dev/sdx", "state": "slow", "why": slow.disk_slow}
    assert world.kit.details()["disk"] == told


@on_loop
async def test_a_disk_that_hangs_never_hides_the_arrays_state(tmp_path: Path) -> None:
    """Whatever waits for the disk: were it told by the same threads, a hung disk would be "unknown"."""
    let_go = threading.Event()
    blocking = Blocking("disk", limit_s=0.01, most=2)
    array = Array("/dev/md/m", UUID(int=1), "/dev/sdx", Table(), blocking, tmp_path)
    try:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await blocking.do(let_go.wait)
        assert await array.state() is None
    finally:
        let_go.set()


def test_mode_async_tells_what_a_lost_source_may_cost_and_mode_sync_costs_nothing() -> None:
    disk = Path("/dev/sdx")
    behind = MirrorParameters(disk=disk, mode="async", lag_most_bytes=1 << 20, lag_within_ms=1_500)
    assert MirrorKit.may_lose(MirrorParameters(disk=disk)) == ""
    assert MirrorKit.may_lose(behind) == (
        "what was answered last is lost: at most 1048576 bytes, written within 1.5 s"
    )
