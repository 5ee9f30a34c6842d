"""A port that answers where the hierarchy is in service, and nowhere else."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError
from recovery_kits.lb_health import LbHealthKit, LbHealthParameters, processes
from tests.runtime.waiting import on_loop, until

MakeKit = Callable[..., LbHealthKit]
AGENT = """
import asyncio, pathlib, signal, sys
from agent.runtime.process import Runner
from recovery_kits.contract import Site, Tools
from recovery_kits.lb_health import LbHealthKit, LbHealthParameters

async def main(directory, port):
    tools = Tools("lb", "db-01", Runner(directory / "output"), None, site=Site(runtime_dir=directory))
    await LbHealthKit(LbHealthParameters(port=port, path="/health"), tools).restore()
    print("in service", flush=True)
    signal.pause()

asyncio.run(main(pathlib.Path(sys.argv[1]), int(sys.argv[2])))
"""


def get(port: int, path: str = "/health") -> bytes:
    return exchange(port, f"GET {path} HTTP/1.1\r\nHost: lb\r\n\r\n".encode())


def exchange(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(4_096), b""))


def refused(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0


def there(kit: LbHealthKit) -> list[processes.Responder]:
    return processes.responders(kit._owner)


@on_loop
async def test_it_answers_from_restore_to_remove_and_each_again_is_success(
    make_kit: MakeKit, port: int
) -> None:
    kit = make_kit()
    assert (await kit.quick_check()).health is Health.FAILED
    for _ in range(2):
        await kit.restore()
        assert (await kit.quick_check()).health is Health.OK
        assert get(port).startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(there(kit)) == 1
    for _ in range(2):
        await kit.remove()
        assert refused(port)
        assert not there(kit)
        assert (await kit.quick_check()).health is Health.FAILED


@on_loop
async def test_without_a_path_connecting_is_the_answer(make_kit: MakeKit, port: int) -> None:
    kit = make_kit(path=None)
    await kit.restore()
    assert exchange(port, b"") == b""
    assert (await kit.quick_check()).health is Health.OK


@on_loop
async def test_an_ipv6_address_can_be_listened_on(make_kit: MakeKit, port: int) -> None:
    kit = make_kit(address=ip_address("::1"))
    await kit.restore()
    assert (await kit.quick_check()).health is Health.OK
    assert refused(port)


@on_loop
async def test_the_responder_outlives_a_killed_agent_and_the_next_adopts_it(
    make_kit: MakeKit, port: int, tmp_path: Path
) -> None:
    command = (sys.executable, "-c", AGENT, str(tmp_path), str(port))
    agent = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert agent.stdout is not None
        assert await agent.stdout.readline() == b"in service\n"
    finally:
        agent.kill()
        await agent.wait()
    kit = make_kit()
    before = there(kit)
    assert (await kit.quick_check()).health is Health.OK
    await kit.restore()
    assert there(kit) == before
    await kit.remove()
    assert refused(port)


@on_loop
async def test_other_parameters_are_other_service(make_kit: MakeKit, port: int) -> None:
    await make_kit().restore()
    changed = make_kit(path="/ready")
    assert (await changed.quick_check()).health is Health.FAILED
    await changed.restore()
    assert get(port, "/ready").startswith(b"HTTP/1.1 200 ")
    assert get(port).startswith(b"HTTP/1.1 404 ")
    await make_kit().remove()  # whatever its parameters were
    assert refused(port)


@on_loop
async def test_a_killed_responder_fails_the_check_and_is_recovered(make_kit: MakeKit, port: int) -> None:
    kit = make_kit()
    await kit.restore()
    (responder,) = there(kit)
    os.kill(responder.pid, signal.SIGKILL)
    await until(lambda: not there(kit) and refused(port))
    check = await kit.quick_check()
    assert (check.health, check.why) == (Health.FAILED, f"nothing of ours listens on port {port}")
    await kit.recover()
    assert (await kit.quick_check()).health is Health.OK


@on_loop
async def test_a_responder_that_hangs_lets_the_check_hang_and_is_removed_all_the_same(
    make_kit: MakeKit, port: int
) -> None:
    """The agent's own limit makes a failure of it, the second time."""
    kit = make_kit()
    await kit.restore()
    (responder,) = there(kit)
    os.kill(responder.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(kit.quick_check(), 0.3)
    await kit.recover()
    assert (await kit.quick_check()).health is Health.OK
    assert responder not in there(kit)


@on_loop
async def test_a_port_that_another_has_is_found_and_fails_restore(make_kit: MakeKit, port: int) -> None:
    kit = make_kit()
    assert await kit.validate() == []
    with socket.create_server(("127.0.0.1", port)):
        (finding,) = await kit.validate()
        assert finding.problem == f"can't listen on 0.0.0.0 port {port}: Address already in use"
        assert f"ss -ltnp sport = :{port}" in finding.remedy
        with pytest.raises(KitError, match=f"lb: restore: 0.0.0.0 port {port}: Address already in use"):
            await kit.restore()
        assert (await kit.quick_check()).health is Health.FAILED  # though something listens
    await kit.restore()
    assert await kit.validate() == []


@on_loop
async def test_an_address_that_is_not_here_is_found(make_kit: MakeKit) -> None:
    (finding,) = await make_kit(address=ip_address("192.0.2.7")).validate()
    assert "Cannot assign requested address" in finding.problem


@on_loop
async def test_a_restore_cut_short_leaves_what_the_next_remove_ends(make_kit: MakeKit, port: int) -> None:
    kit = make_kit()
    for after_s in (0.0, 0.02, 0.1, 0.3):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_and_wait(kit), after_s)
        await kit.remove()
        assert not there(kit)
        assert refused(port)


async def _and_wait(kit: LbHealthKit) -> None:
    await kit.restore()
    await asyncio.Event().wait()


@on_loop
async def test_nothing_waits_for_the_loops_threads(make_kit: MakeKit, port: int) -> None:
    """While DNS doesn't answer all of them may wait for it."""
    kit, answered, loop = make_kit(), threading.Event(), asyncio.get_running_loop()
    waiting = [loop.run_in_executor(None, answered.wait) for _ in range(40)]  # more than there are
    try:
        async with asyncio.timeout(10):
            await kit.restore()
            assert (await kit.quick_check()).health is Health.OK
            await kit.remove()
    finally:
        answered.set()
        await asyncio.gather(*waiting)
    assert refused(port)


def test_no_command_line_is_read_of_what_has_not_a_responders_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs on a disk would let the reader hang."""
    monkeypatch.setattr("recovery_kits.processes._PROC", tmp_path)
    for pid, name in (("7", "lb-health"), ("8", "postgres")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "comm").write_text(f"{name}\n")
        (tmp_path / pid / "cmdline").write_text("python\0-I\0-S\0/x/responder.py\0owner\0{}\0")
    assert processes.responders("owner") == [processes.Responder(7, "owner", "{}")]


@on_loop
async def test_two_resources_have_responders_of_their_own(
    make_kit: MakeKit, port: int, tmp_path: Path
) -> None:
    kit = make_kit()
    await kit.restore()
    processes.end(str(tmp_path / "lb-health" / "lb-2"), 1.0)
    assert (await kit.quick_check()).health is Health.OK


def test_it_needs_no_permission_of_aws() -> None:
    assert LbHealthKit.permissions(LbHealthParameters(port=1)) == ()
    assert not LbHealthKit.aws_services
