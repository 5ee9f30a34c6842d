"""What the target's server promises: found again, refusing strangers, one client, and certainly gone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from recovery_kits.mirror.listener import Export
from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.negotiation import Session, negotiate
from recovery_kits.mirror.server import Server
from recovery_kits.mirror.serving import Serving, kill, serving
from tests.kits.mirror.nbd_servers import IMAGE_BYTES, Place

LIMIT_S = 20.0
BIGGER_BYTES = 5 << 20


async def client(leg: Export, local: str = "127.0.0.1") -> Session:
    return await negotiate("127.0.0.1", leg.port, leg.name, limit_s=LIMIT_S, local=local)


async def processes(place: Place, leg: Export, *, children: int = 0) -> list[Serving]:
    """The listener and this many servers of clients."""
    end = time.monotonic() + LIMIT_S
    while len(found := await serving(place.runtime / leg.name)) != 1 + children:
        assert time.monotonic() < end, found
    return sorted(found, key=lambda each: not each.listens)


async def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    while not happened():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


def test_a_started_server_serves_and_a_stopped_one_leaves_nothing(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        server = place.server(leg)
        assert not await server.running()
        await server.start()
        assert await server.running()
        async with await client(leg) as session:
            listening, serves = await processes(place, leg, children=1)
            assert _threads(serves.pid) == 1, "of two, one would miss that a flush failed"
            assert os.getsid(listening.pid) == listening.pid != os.getsid(0)
            assert (place.runtime / "dir1").stat().st_mode & 0o777 == 0o700
            await server.stop()
            with pytest.raises(NbdError, match="closed the connection"):
                await session.read(0, 512)
        assert await serving(place.runtime / leg.name) == []
        assert list(place.runtime.iterdir()) == []
        assert not await server.running()
        with pytest.raises(NbdError, match="Connection refused"):
            await client(leg)
        await server.stop()

    asyncio.run(scenario())


def test_an_agent_that_restarted_finds_the_server_and_leaves_it_and_its_client_alone(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        await place.server(leg).start()
        async with await client(leg) as session:
            before = await processes(place, leg, children=1)
            again = place.server(leg)
            assert await again.running()
            await again.start()
            assert await processes(place, leg, children=1) == before
            assert len(await session.read(0, 512)) == 512

    asyncio.run(scenario())


@pytest.mark.parametrize("other", ["device", "peers", "port"])
def test_other_parameters_are_another_server(place: Place, other: str) -> None:
    async def scenario() -> None:
        leg = place.export()
        changes: dict[str, Export] = {
            "device": replace(leg, device=str(bigger)),
            "peers": replace(leg, peers=("127.0.0.1", "127.0.0.2")),
            "port": place.export(),
        }
        await place.server(leg).start()
        (old,) = await processes(place, leg)
        changed = place.server(changes[other])
        assert not await changed.running()
        await changed.start()
        (new,) = await processes(place, leg)
        assert new.pid != old.pid
        async with await client(changes[other]) as session:
            assert session.size_bytes == (BIGGER_BYTES if other == "device" else IMAGE_BYTES)
        assert not await place.server(leg).running()

    bigger = place.image.with_name("bigger")
    bigger.write_bytes(bytes(BIGGER_BYTES))
    asyncio.run(scenario())


def test_two_legs_are_served_beside_each_other(place: Place) -> None:
    async def scenario() -> None:
        one, two = place.export("dir1"), place.export("dir2")
        first, second = place.server(one), place.server(two)
        await asyncio.gather(first.start(), second.start())
        await first.stop()
        assert not await first.running()
        assert await second.running()
        async with await client(two) as session:
            assert len(await session.read(0, 512)) == 512

    asyncio.run(scenario())


def test_a_stranger_is_refused_and_disturbs_nobody(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export(peers=("127.0.0.5",))
        await place.server(leg).start()
        async with await client(leg, "127.0.0.5") as session:
            with pytest.raises(NbdError, match=r"closed the connection|reset"):
                await client(leg, "127.0.0.1")
            assert len(await session.read(0, 512)) == 512

    asyncio.run(scenario())


def test_a_new_client_has_the_device_to_itself(place: Place) -> None:
    async def scenario() -> None:
        leg, other = place.export(), place.export("dir2")
        for each in (leg, other):
            await place.server(each).start()
        async with await client(leg) as first, await client(other) as bystander:
            assert len(await first.read(0, 512)) == 512
            listening, old = await processes(place, leg, children=1)
            os.kill(old.pid, signal.SIGSTOP)  # it can't even read what it was sent
            async with await client(leg) as second:
                assert len(await second.read(0, 512)) == 512
                assert not _lives(old.pid)
                assert _lives(listening.pid)
            with pytest.raises(NbdError):
                await first.read(0, 512)
            assert len(await bystander.read(0, 512)) == 512

    asyncio.run(scenario())


def test_a_client_whose_server_was_killed_is_served_again(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        server = place.server(leg)
        await server.start()
        async with await client(leg) as session:
            _, child = await processes(place, leg, children=1)
            os.kill(child.pid, signal.SIGKILL)
            with pytest.raises(NbdError, match=r"closed the connection|reset"):
                await session.read(0, 512)
        assert await server.running()
        async with await client(leg) as session:
            assert len(await session.read(0, 512)) == 512

    asyncio.run(scenario())


@pytest.mark.parametrize("then", ["start", "stop"])
def test_a_client_s_server_whose_listener_is_gone_is_ended(place: Place, then: str) -> None:
    async def scenario() -> None:
        leg = place.export()
        server = place.server(leg)
        await server.start()
        async with await client(leg):
            listening, child = await processes(place, leg, children=1)
            os.kill(child.pid, signal.SIGSTOP)  # it can't end by itself
            os.kill(listening.pid, signal.SIGKILL)
            await until(lambda: not _lives(listening.pid))
            assert not await server.running()
            await (server.start() if then == "start" else server.stop())
            assert not _lives(child.pid)
            assert await server.running() == (then == "start")

    asyncio.run(scenario())


@contextmanager
def bystander(*argv: str) -> Iterator[int]:
    """The pid of a process that has nothing to do with it."""
    process = subprocess.Popen((sys.executable, "-c", "import sys; print(); sys.stdin.read()", *argv),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_another_process_is_not_taken_for_the_server_whatever_its_words_say(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        server = place.server(leg)
        await server.start()
        (old,) = await processes(place, leg)
        with bystander("-s", "-P", str(place.runtime / "dir1/pid"), leg.text()) as pid:
            os.kill(old.pid, signal.SIGKILL)
            await until(lambda: not _lives(old.pid))
            assert not await server.running()
            await kill([replace(old, pid=pid)], limit_s=LIMIT_S)  # as if it had got the server's pid
            await server.stop()
            assert _lives(pid)

    asyncio.run(scenario())


def test_an_address_that_is_not_there_and_a_taken_port_are_told(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        await place.server(leg).start()
        with pytest.raises(NbdError, match=rf"^dir2: 127\.0\.0\.1 port {leg.port}: Address already in use"):
            await place.server(place.export("dir2", port=leg.port)).start()
        missing = replace(place.export("dir3"), listen=("192.0.2.1",))
        with pytest.raises(NbdError, match=r"^dir3: 192\.0\.2\.1 port \d+: Cannot assign requested address"):
            await place.server(missing).start()

    asyncio.run(scenario())


def test_a_server_that_does_not_start_is_told(place: Place) -> None:
    async def is_missing(*argv: str, **_: object) -> str:
        raise FileNotFoundError(2, "No such file or directory", argv[0])

    async def hangs(*argv: str, **_: object) -> str:
        await asyncio.Event().wait()
        return ""

    async def scenario() -> None:
        with pytest.raises(NbdError, match=r"^dir1: .*No such file or directory"):
            await Server(place.export(), place.runtime, is_missing).start()
        with pytest.raises(NbdError, match=r"^dir1: .*doesn't listen after 0\.1 s"):
            await Server(place.export(), place.runtime, hangs).start(limit_s=0.1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../x"},
        {"name": ""},
        {"device": "dev/sda"},
        {"device": "/dev/sda\0"},
        {"peers": ()},
        {"listen": ()},
        {"peers": ("db-02",)},
        {"listen": ("10.0.3.4, 0.0.0.0",)},
    ],
)
def test_what_can_not_be_served_is_refused(place: Place, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(place.export(), **wrong)  # type: ignore[arg-type]


def _lives(pid: int) -> bool:
    """Whether it is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
