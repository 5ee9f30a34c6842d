"""Fencing this node: at once, again and again, whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.config.model import SelfFence
from agent.fencing import myself
from agent.fencing.myself import fence_myself
from tests.runtime.waiting import on_loop, until


@pytest.fixture(autouse=True)
def sysrq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Never the real one."""
    path = tmp_path / "sysrq-trigger"
    monkeypatch.setattr(myself, "_SYSRQ", path)
    monkeypatch.setattr(myself, "_AGAIN_S", 0.01)
    return path


@asynccontextmanager
async def fencing(setup: SelfFence) -> AsyncIterator[None]:
    task = asyncio.create_task(fence_myself("db can't be removed", setup))
    try:
        yield
        assert not task.done(), "it doesn't return while this node lives"
    finally:
        await until(lambda: is_between_two_tries(task))  # so that no command is cut short
        task.cancel()
        await asyncio.wait([task])


def is_between_two_tries(task: asyncio.Task[None]) -> bool:
    return getattr(getattr(task.get_coro(), "cr_await", None), "__name__", "") == "sleep"


def written(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def shell(script: str) -> SelfFence:
    return SelfFence(command=("/bin/sh", "-c", script))


@on_loop
async def test_without_a_command_the_kernel_reboots_at_once(
    sysrq: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fencing(SelfFence()):
        await until(lambda: written(sysrq) == "b")
        assert "fencing this node: db can't be removed" in caplog.text


@on_loop
async def test_a_kernel_that_refuses_is_asked_again(
    sysrq: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(myself, "_SYSRQ", sysrq / "not a directory")
    async with fencing(SelfFence()):
        await until(lambda: caplog.text.count("trying again") > 2)
        monkeypatch.setattr(myself, "_SYSRQ", sysrq)
        await until(lambda: written(sysrq) == "b")


@on_loop
async def test_a_command_is_run_instead_and_again_until_the_node_is_gone(tmp_path: Path, sysrq: Path) -> None:
    async with fencing(shell(f"echo x >> {tmp_path}/ran")):
        await until(lambda: written(tmp_path / "ran").count("x") > 2)
    assert not written(sysrq)


@on_loop
async def test_a_command_that_fails_is_told_and_run_again(caplog: pytest.LogCaptureFixture) -> None:
    async with fencing(shell("exit 3")):
        await until(lambda: caplog.text.count("/bin/sh ended with 3") > 2)
    async with fencing(SelfFence(command=("/nowhere/reboot",))):
        await until(lambda: caplog.text.count("fencing this node failed: ") > 2)


@on_loop
async def test_a_command_that_hangs_is_killed_and_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(myself, "_COMMAND_LIMIT_S", 0.05)
    async with fencing(shell(f"echo $$ >> {tmp_path}/pids; exec sleep 600")):
        await until(lambda: caplog.text.count("/bin/sh didn't end within 0.05 s") > 2)
        pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
        await until(lambda: not Path(f"/proc/{pids[0]}").exists())
