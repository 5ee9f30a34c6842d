"""Scenarios: processes that keep a mount busy."""

from __future__ import annotations

import os

import psutil

from tests.kits.filesystem.place import (
    DEAF,
    Place,
    a_library,
    refused,
    scenario,
    sh,
    wait_for,
)


@scenario
async def mounted_in_another_mount_namespace(place: Place) -> None:
    """As a container does that was given the folder."""
    with place.ext4() as loop:
        kit = place.kit(loop)
        await kit.restore()
        with place.holder(
            "exec unshare --mount --propagation private sh -c 'echo; exec sleep 600'", cwd=place.folder
        ) as container:
            assert "somebody still has it" in await refused(kit.remove())
            assert not place.mounted
            assert "somebody still has it" in await refused(kit.force_remove())
            container.kill()
        await kit.remove()


@scenario
async def holders_get_sigterm_first(place: Place) -> None:
    kit = place.tmpfs()
    await kit.restore()
    cleaned = place.folder / "cleaned"
    os.mkfifo(place.folder / "never")
    # No child of its own: one within the mount would be a holder, too, and the shell would tell of its end.
    script = f"trap ': >{cleaned}; exit 0' TERM; echo; read _ <>{place.folder}/never"
    with place.holder(script) as polite:
        await kit.remove()
        assert polite.wait(10) == 0
    assert cleaned.exists()
    assert any(f"SIGTERM to {polite.pid} sh cwd" in line for line in place.lines)


@scenario
async def a_deaf_holder_is_killed(place: Place) -> None:
    kit = place.tmpfs()
    await kit.restore()
    with place.holder(DEAF) as deaf:
        await kit.remove()
        assert deaf.wait(10) == -9
    assert not place.mounted


@scenario
async def a_zombie_does_not_hide_a_holder(place: Place) -> None:
    kit = place.tmpfs()
    await kit.restore()
    with place.holder("exit") as zombie, place.holder(DEAF) as deaf:
        await wait_for(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE)
        assert zombie.pid < deaf.pid
        await kit.remove()
        assert deaf.wait(10) == -9


@scenario
async def whoever_has_a_file_open_or_mapped_is_a_holder(place: Place) -> None:
    kit = place.tmpfs("size=8m")
    await kit.restore()
    for how, script in (
        ("fd 7", "exec 7> file; cd /; echo; exec sleep 600"),
        ("exe", "cd /; echo; exec $OLDPWD/sleep 600"),
        ("mapped", "export LD_PRELOAD=$PWD/library.so; cd /; echo; exec sleep 600"),
    ):
        sh("cp", "/bin/sleep", str(place.point / "sleep"))
        sh("cp", a_library(), str(place.point / "library.so"))
        with place.holder(script) as process:
            await wait_for(lambda pid=process.pid: psutil.Process(pid).name() == "sleep")  # type: ignore[misc]
            await kit.remove()
            assert process.wait(10) == -15, how
        assert place.lines[-1] == f"SIGTERM to {process.pid} sleep {how}, which keeps {place.point} busy"
        await kit.restore()


@scenario
async def bystanders_and_the_agent_live(place: Place) -> None:
    kit = place.tmpfs()
    await kit.restore()
    os.chdir(place.point)
    try:
        with place.holder("echo; exec sleep 600", cwd=place.folder) as bystander:
            problem = await refused(kit.remove())
            assert f"{os.getpid()} python" in problem
            assert "(spared)" in problem
            assert bystander.poll() is None
            await refused(kit.force_remove())
    finally:
        os.chdir("/")
    await kit.remove()


@scenario
async def force_remove_proves_a_lazy_unmount(place: Place) -> None:
    with place.ext4() as loop:
        kit = place.kit(loop)
        await kit.restore()
        os.chdir(place.point)  # the one process that is never killed
        assert "somebody still has it" in await refused(kit.force_remove())
        assert not place.mounted  # out of sight, and yet not inactive
        assert "somebody still has it" in await refused(kit.remove())
        os.chdir("/")
        await kit.remove()
