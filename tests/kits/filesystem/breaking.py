"""Scenarios: disks that are full, read-only or frozen."""

from __future__ import annotations

import asyncio
import time

from agent.core.states import Health
from tests.kits.filesystem.place import (
    Place,
    every_action_twice,
    scenario,
    sh,
)


@scenario
async def a_full_disk_is_an_alarm_or_a_failure(place: Place) -> None:
    kit = place.tmpfs()
    await kit.restore()
    sh("sh", "-c", f"cat /dev/zero > {place.point}/all 2> /dev/null || true")
    check = await kit.quick_check()
    assert (check.health, check.why) == (Health.UNKNOWN, f"{place.point} is full")
    assert (await place.tmpfs(full="fail").quick_check()).health is Health.FAILED
    (place.point / "all").unlink()
    assert (await kit.quick_check()).health is Health.OK


@scenario
async def a_read_only_remount_is_found_and_mended(place: Place) -> None:
    with place.ext4() as loop:
        kit = place.kit(loop)
        await kit.restore()
        with place.holder("echo; exec sleep 600") as user:
            sh("mount", "-o", "remount,ro", str(place.point))
            check = await kit.quick_check()
            assert check.health is Health.FAILED
            assert "has become read-only" in check.why
            await kit.recover()
            assert user.poll() is None  # repaired in place, under its users
            assert (await kit.quick_check()).health is Health.OK
        await kit.remove()


@scenario
async def a_read_only_mount_is_right_when_asked_for(place: Place) -> None:
    with place.ext4() as loop:
        await every_action_twice(place, place.kit(loop, "ext4", "ro"))


@scenario
async def a_symbolic_link_does_not_lead_the_check_astray(place: Place) -> None:
    kit = place.tmpfs()
    await kit.restore()
    victim = place.folder / "victim"
    victim.write_text("precious")
    (place.point / ".kagemusha-check").symlink_to(victim)
    assert (await kit.quick_check()).health is Health.OK
    assert victim.read_text() == "precious"


@scenario
async def a_frozen_disk_holds_up_its_check_and_nothing_else(place: Place) -> None:
    with place.ext4() as loop:
        kit = place.kit(loop)
        await kit.restore()
        sh("fsfreeze", "--freeze", str(place.point))
        try:
            ticks = 0
            check = asyncio.create_task(kit.quick_check())
            for _ in range(50):
                await asyncio.sleep(0.01)
                ticks += 1
            assert not check.done()
            check.cancel()
            ended, _ = await asyncio.wait([check], timeout=10)  # it ends, though its command may not
            assert ended
            assert check.cancelled()
            assert ticks == 50
        finally:
            sh("fsfreeze", "--unfreeze", str(place.point))
        until = time.monotonic() + 10
        while (await kit.quick_check()).health is not Health.OK:  # an abandoned one may still be ending
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        await kit.remove()
