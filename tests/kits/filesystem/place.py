"""Where the scenarios of this folder play: a mount point, devices, processes that keep them busy."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.core.states import Health
from agent.runtime.process import Runner
from recovery_kits.contract import KitError
from recovery_kits.filesystem import FilesystemKit
from recovery_kits.filesystem.device import FilesystemParameters
from recovery_kits.filesystem.mounts import on_top, read_mounts
from tests.kits.fakes import tools

DEAF = "trap '' TERM; echo; exec sleep 600"  # a child would be a holder, too, and a shell tells of its end
Scenario = Callable[["Place"], Coroutine[None, None, None]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(body: Scenario) -> Scenario:
    """Let in_namespace.py and test_real.py run it."""
    SCENARIOS[body.__name__] = body
    return body


class Place:
    """A mount point, a device, and what the journal was told."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.point = folder, folder / "point"
        self.point.mkdir()
        self.run = Runner(folder / "output", grace_ms=200, abandon_ms=500)
        self.lines: list[str] = []

    def kit(
        self, device: str, type_: str = "auto", options: str = "defaults", **others: object
    ) -> FilesystemKit:
        """The kit, losing patience soon."""
        parameters = FilesystemParameters(
            device=device,
            mount_point=self.point,
            type=type_,
            options=options,
            holders_grace_ms=300,
            **others,  # type: ignore[arg-type]
        )
        return FilesystemKit(parameters, tools(self.run, self.lines.append))

    def tmpfs(self, options: str = "size=1m", **others: object) -> FilesystemKit:
        """A small filesystem in memory."""
        return self.kit("tmpfs", "tmpfs", options, **others)

    @contextmanager
    def ext4(self, label: str = "kagetest") -> Iterator[str]:
        """A loop device with an ext4 filesystem; it is detached at the end."""
        image = self.image(label)
        loop = sh("losetup", "--find", "--show", str(image)).strip()
        try:
            yield loop
        finally:
            sh("losetup", "--detach", loop)

    def image(self, label: str = "kagetest") -> Path:
        """A file with an ext4 filesystem."""
        image = self.folder / "image"
        with image.open("wb") as file:
            file.truncate(16 << 20)
        sh("mkfs.ext4", "-q", "-L", label, str(image))
        return image

    @property
    def mounted(self) -> bool:
        """Whether anything is on the mount point."""
        return on_top(read_mounts(), str(self.point)) is not None

    @contextmanager
    def holder(self, script: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """A shell script in the mount point that goes on after it has printed a line."""
        with subprocess.Popen(["sh", "-c", script], cwd=cwd or self.point, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                yield process
            finally:
                process.kill()


def sh(*argv: str) -> str:
    """Run a command now."""
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout


def a_library() -> str:
    """The path of a library that any program can be made to load."""
    words = Path("/proc/self/maps").read_text().split()
    return next(word for word in words if "/libc.so" in word or "/libc-" in word)


async def wait_for(condition: Callable[[], bool], within_s: float = 10) -> None:
    """Wait until it holds; fail after that long."""
    until = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        await asyncio.sleep(0.01)


async def refused(action: Awaitable[None]) -> str:
    """The KitError that an action must end with."""
    try:
        await action
    except KitError as problem:
        return str(problem)
    raise AssertionError("it went through")


async def every_action_twice(place: Place, kit: FilesystemKit) -> None:
    """What holds for whatever is mounted."""
    for action, there in (("restore", True), ("recover", True), ("remove", False)):
        for _ in range(2):
            await getattr(kit, action)()
            assert place.mounted is there, action
            check = await kit.quick_check()
            assert check.health is (Health.OK if there else Health.FAILED), check
    await kit.restore()
    assert list(place.point.glob(".kage*")) == []  # a check leaves nothing behind
    for _ in range(2):
        await kit.force_remove()
        assert not place.mounted
