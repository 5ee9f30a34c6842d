"""Scenarios: mounting and unmounting what there is, and what somebody else did."""

from __future__ import annotations

import asyncio
import os

from agent.core.states import Health
from recovery_kits.contract import KitError
from recovery_kits.filesystem import FilesystemKit
from tests.kits.fakes import Faulty, failed, tools
from tests.kits.filesystem.place import (
    Place,
    every_action_twice,
    refused,
    scenario,
    sh,
)


@scenario
async def tmpfs(place: Place) -> None:
    await every_action_twice(place, place.tmpfs())


@scenario
async def block_device(place: Place) -> None:
    with place.ext4() as loop:
        await every_action_twice(place, place.kit(loop, "ext4", fsck=True))


@scenario
async def label(place: Place) -> None:
    with place.ext4(f"k{os.getpid()}"):
        kit = place.kit(f"LABEL=k{os.getpid()}")
        await every_action_twice(place, kit)
        await kit.restore()
        missing = place.kit("LABEL=no-such-label")
        assert "no device has LABEL=no-such-label" in await refused(missing.restore())
        await kit.remove()
        await missing.remove()


@scenario
async def image_file(place: Place) -> None:
    await every_action_twice(place, place.kit(str(place.image()), "ext4", "loop"))


@scenario
async def bind(place: Place) -> None:
    source = place.folder / "a source"  # a space, as the kernel writes it in octal
    source.mkdir()
    await every_action_twice(place, place.kit(str(source), "none", "bind"))


@scenario
async def bind_of_a_folder_inside_another_mount(place: Place) -> None:
    data = place.folder / "data"
    data.mkdir()
    sh("mount", "-t", "tmpfs", "tmpfs", str(data))
    (data / "inner").mkdir()
    kit = place.kit(str(data / "inner"), "none", "bind")
    await every_action_twice(place, kit)
    sh("mount", "--bind", str(data), str(place.point))
    assert "is mounted on" in (await kit.quick_check()).why


@scenario
async def any_call_may_fail_and_the_next_try_finishes(place: Place) -> None:
    faults = [failed("mount"), asyncio.CancelledError(), FileNotFoundError(2, "none", "mount")]
    with place.ext4() as loop:
        kit = place.kit(loop, "ext4")
        for action, there in (
            ("restore", True),
            ("remove", False),
            ("recover", True),
            ("force_remove", False),
        ):
            for fault in faults:
                for after in (False, True):
                    await _fail_each_call(place, kit, action, there, fault, after)


async def _fail_each_call(
    place: Place, kit: FilesystemKit, action: str, there: bool, fault: BaseException, after: bool
) -> None:
    for at in range(20):
        await (kit.remove() if there else kit.restore())
        faulty = Faulty(place.run, at, fault, after=after)
        trying = FilesystemKit(kit.parameters, tools(faulty))
        try:
            await getattr(trying, action)()
        except (KitError, asyncio.CancelledError):
            await getattr(kit, action)()
        assert place.mounted is there
        if faulty.count <= at:
            return
    raise AssertionError("it never got through")


@scenario
async def something_else_is_mounted(place: Place) -> None:
    with place.ext4() as loop:
        sh("mount", "-t", "tmpfs", "tmpfs", str(place.point))
        kit = place.kit(loop)
        assert f"tmpfs (tmpfs) is mounted on {place.point}, not {loop}" in await refused(kit.restore())
        assert (await kit.quick_check()).health is Health.FAILED
        await kit.remove()  # what is ours is inactive; what isn't stays
        assert place.mounted


@scenario
async def mounted_elsewhere(place: Place) -> None:
    other = place.folder / "other"
    other.mkdir()
    with place.ext4() as loop:
        sh("mount", loop, str(other))
        kit = place.kit(loop)
        assert f"is also mounted on {other}" in await refused(kit.restore())
        assert f"is also mounted on {other}" in await refused(kit.remove())
        await kit.force_remove()
        await kit.restore()
        sh("mount", "--bind", str(place.point), str(other))  # what an application may do
        await kit.restore()
        await kit.force_remove()
        await kit.remove()


@scenario
async def nested_and_covered(place: Place) -> None:
    with place.ext4() as loop:
        kit = place.kit(loop)
        await kit.restore()
        for name in ("a", "a/b"):
            (place.point / name).mkdir()
            sh("mount", "-t", "tmpfs", "tmpfs", str(place.point / name))
        await kit.remove()
        assert not place.mounted
        await kit.restore()
        sh("mount", "-t", "tmpfs", "tmpfs", str(place.point))
        assert (await kit.quick_check()).health is Health.FAILED
        await kit.remove()
        assert not place.mounted


@scenario
async def restore_says_what_mount_said(place: Place) -> None:
    problem = await refused(place.kit("/dev/no-such-device", "ext4").restore())
    assert "does not exist" in problem
    place.point.rmdir()
    problem = await refused(place.tmpfs().restore())
    assert "mount point does not exist" in problem


@scenario
async def validate_finds_what_would_fail(place: Place) -> None:
    with place.ext4() as loop:
        assert await place.kit(loop, "ext4").validate() == []
        (finding,) = await place.kit(loop, "xfs").validate()
        assert (finding.problem, finding.remedy) == (f"{loop} holds ext4, not xfs", 'write type = "ext4"')
        await place.kit(loop, "ext4").restore()
        assert await place.kit(loop, "ext4").validate() == []
        await place.kit(loop, "ext4").remove()
    (place.point / "hidden").touch()
    (finding,) = await place.tmpfs().validate()
    assert "holds files" in finding.problem
    (finding, _) = await place.kit("UUID=none").validate()
    assert finding.problem == "no device has UUID=none"
