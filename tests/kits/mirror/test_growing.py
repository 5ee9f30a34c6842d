"""A mirror grows with its disks, the filesystem after it, and neither while a copy is missing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recovery_kits.contract import KitError
from recovery_kits.filesystem.mounts import Mount
from recovery_kits.mirror import growing
from recovery_kits.mirror.growing import Growth
from recovery_kits.mirror.sysfs import ArrayState
from tests.kits.fakes import Table
from tests.kits.mirror.test_kit import RUNNING
from tests.runtime.waiting import on_loop

MIB = 1 << 20


class FakeKeeper:
    """A leg that is taken back at once, unless its node is gone by then."""

    def __init__(self, node: str, *, whole: bool = True, returns: bool = True) -> None:
        self.node, self.whole, self.afresh, self.why = node, whole, False, ""
        self._returns = returns

    def copy_afresh(self, *, full: bool) -> None:
        assert not full
        if not self._returns:
            self.whole, self.why = False, "Connection refused"


class World:
    """An array that has grown to `to_bytes` when asked, and copies that for one look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *keepers: FakeKeeper, kind: str = "xfs") -> None:
        self.keepers = {each.node: each for each in keepers}
        self.to_bytes = 2 * RUNNING.size_bytes
        self.states = [RUNNING]
        self.run = Table()
        self.run.answer("xfs_growfs")
        self.run.answer("resize2fs")
        mount = Mount("9:127", "/", "/mnt/DIR1", False, kind, "/dev/md/dir1")
        monkeypatch.setattr(growing, "_mounted", lambda _device: mount if kind else None)
        monkeypatch.setattr(growing, "_LOOK_S", 0.0)
        monkeypatch.setattr(growing, "_RECONNECT_S", 0.1)
        self.growth = Growth("m", self, self, self.run)  # type: ignore[arg-type]
        self.told: list[float] = []

    async def state(self) -> ArrayState | None:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    async def grow(self) -> None:
        larger = replace(RUNNING, size_bytes=self.to_bytes)
        copying = replace(larger, sync_action="resync", sync_done_bytes=MIB, sync_total_bytes=4 * MIB)
        self.states = [copying, larger]


PAIR = FakeKeeper("db-02"), FakeKeeper("db-03")


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        ("xfs", ("xfs_growfs", "/mnt/DIR1")),
        ("ext4", ("resize2fs", "/dev/md127")),
        ("", None),
    ],
)
@on_loop
async def test_the_filesystem_grows_after_the_mirror(
    monkeypatch: pytest.MonkeyPatch, kind: str, call: tuple[str, ...] | None
) -> None:
    world = World(monkeypatch, *PAIR, kind=kind)
    text = await world.growth.grow(world.told.append)
    assert world.told == [25.0]
    assert world.run.calls == ([call] if call else [])
    assert text.startswith(f"{RUNNING.size_bytes} bytes became {world.to_bytes}, and")


@on_loop
async def test_disks_that_are_no_larger_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, *PAIR)
    world.to_bytes = RUNNING.size_bytes
    assert "enlarge every node's disk first" in await world.growth.grow(world.told.append)
    assert world.run.calls == []


@on_loop
async def test_nothing_grows_while_a_copy_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, FakeKeeper("db-02"), FakeKeeper("db-03", whole=False))
    with pytest.raises(KitError, match="the copy of db-03 isn't whole"):
        world.growth.require_whole()
    world = World(monkeypatch, FakeKeeper("db-02"), FakeKeeper("db-03", returns=False))
    with pytest.raises(KitError, match="db-03 wasn't taken back within"):
        await world.growth.grow(world.told.append)
    assert world.states == [RUNNING]
