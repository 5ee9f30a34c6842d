"""What the target's nbd-server promises: found again, refusing strangers, and certainly gone."""

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

from recovery_kits.mirror.nbd import NbdError
from recovery_kits.mirror.negotiation import Session, negotiate
from recovery_kits.mirror.server import Export, Server
from recovery_kits.mirror.serving import Serving, kill, serving
from tests.kits.mirror.nbd_servers import IMAGE_BYTES, Place

LIMIT_S = 20.0
BIGGER_BYTES = 5 << 20


async def client(leg: Export, local: str = "127.0.0.1") -> Session:
    return await negotiate("127.0.0.1", leg.port, leg.name, limit_s=LIMIT_S, local=local)


async def processes(place: Place, leg: Export, *, children: int = 0) -> list[Serving]:
    """The one that listens and, once a probe's child has ended, this many children."""
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
        await server.probe(limit_s=LIMIT_S)
        async with await client(leg) as session:
            assert [each.listens for each in await processes(place, leg, children=1)] == [True, False]
            await server.stop()
            with pytest.raises(NbdError, match="closed the connection"):
                await session.read(0, 512)
        assert await serving(place.runtime / leg.name) == []
        assert list(place.runtime.iterdir()) == []
        assert not await server.running()
        with pytest.raises(NbdError, match="Connection refused"):
            await server.probe(limit_s=LIMIT_S)
        await server.stop()

    asyncio.run(scenario())


def test_it_lives_in_a_session_of_its_own_and_its_files_are_nobody_else_s(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        await place.server(leg).start()
        (process,) = await processes(place, leg)
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
        files = list((place.runtime / "dir1").iterdir())
        assert {file.suffix: file.stat().st_mode & 0o777 for file in files if file.name != "pid"} == {
            ".conf": 0o600,
            ".allowed": 0o600,
        }
        assert (place.runtime / "dir1").stat().st_mode & 0o777 == 0o700

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


@pytest.mark.parametrize("other", ["device", "peers", "port", "sync"])
def test_other_parameters_are_another_server(place: Place, other: str) -> None:
    async def scenario() -> None:
        leg = place.export()
        changes: dict[str, Export] = {
            "device": replace(leg, device=str(bigger)),
            "peers": replace(leg, peers=("127.0.0.1", "127.0.0.2")),
            "port": place.export(),
            "sync": replace(leg, sync=False),
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


def test_strangers_are_refused_also_when_the_list_of_peers_is_lost(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export(peers=("127.0.0.5",))
        server = place.server(leg)
        await server.start()
        with pytest.raises(NbdError, match="Access denied"):
            await client(leg, "127.0.0.1")
        async with await client(leg, "127.0.0.5"):
            pass
        (allowed,) = (place.runtime / "dir1").glob("*.allowed")
        for lose in (allowed.unlink, lambda: allowed.write_text("")):
            lose()
            for local in ("127.0.0.1", "127.0.0.5"):
                with pytest.raises(NbdError, match="Access denied"):
                    await client(leg, local)
        await server.start()  # writes the list again
        async with await client(leg, "127.0.0.5"):
            pass

    asyncio.run(scenario())


def test_a_server_of_which_only_children_are_left_does_not_run_and_is_started_anew(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        server = place.server(leg)
        await server.start()
        async with await client(leg) as session:
            parent, child = await processes(place, leg, children=1)
            os.kill(parent.pid, signal.SIGKILL)
            await until(lambda: not _lives(parent.pid))
            assert not await server.running()
            assert len(await session.read(0, 512)) == 512
            await server.start()
            (new,) = await processes(place, leg)
            assert new.pid not in {parent.pid, child.pid}
        async with await client(leg) as session:
            parent, child = await processes(place, leg, children=1)
            os.kill(child.pid, signal.SIGKILL)
            with pytest.raises(NbdError, match=r"closed the connection|reset"):
                await session.read(0, 512)
            assert await server.running()

    asyncio.run(scenario())


def test_stopping_ends_children_whose_parent_is_gone(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        await place.server(leg).start()
        async with await client(leg):
            parent, _ = await processes(place, leg, children=1)
            os.kill(parent.pid, signal.SIGKILL)
            await until(lambda: not _lives(parent.pid))
            await place.server(leg).stop()
            assert await serving(place.runtime / leg.name) == []

    asyncio.run(scenario())


def test_disconnecting_clients_leaves_the_server(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        server = place.server(leg)
        await server.start()
        async with await client(leg) as session:
            await server.disconnect_clients()
            with pytest.raises(NbdError):
                await session.read(0, 512)
        assert await server.running()
        async with await client(leg) as session:
            assert len(await session.read(0, 512)) == 512

    asyncio.run(scenario())


def test_a_new_client_has_the_device_to_itself(place: Place) -> None:
    async def scenario() -> None:
        leg, other = place.export(), place.export("dir2")
        for each in (leg, other):
            await place.server(each).start()
        async with await client(leg) as first, await client(other) as bystander:
            assert len(await first.read(0, 512)) == 512
            (listening, old) = sorted(
                await processes(place, leg, children=1), key=lambda each: not each.listens
            )
            os.kill(old.pid, signal.SIGSTOP)  # it can't even read what it was sent
            async with await client(leg) as second:
                assert len(await second.read(0, 512)) == 512
                assert not _lives(old.pid)
                assert _lives(listening.pid)
            with pytest.raises(NbdError):
                await first.read(0, 512)
            assert len(await bystander.read(0, 512)) == 512

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


def test_another_process_is_not_taken_for_the_server_whatever_a_file_or_its_words_say(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        server = place.server(leg)
        await server.start()
        (old,) = await processes(place, leg)
        with bystander("-C", str(old.config)) as pid:
            (place.runtime / "dir1" / "pid").write_text(f"{pid}\n")
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


def test_a_server_that_does_not_start_is_told_at_once(place: Place) -> None:
    async def dies(*argv: str, **_: object) -> str:
        return ""

    async def is_missing(*argv: str, **_: object) -> str:
        raise FileNotFoundError(2, "No such file or directory", argv[0])

    async def scenario() -> None:
        with pytest.raises(NbdError, match=r"^dir1: nbd-server ended again"):
            await Server(place.export(), place.runtime, dies).start(limit_s=LIMIT_S)
        with pytest.raises(NbdError, match=r"^dir1: .*No such file or directory: 'nbd-server'"):
            await Server(place.export(), place.runtime, is_missing).start(limit_s=LIMIT_S)

    asyncio.run(scenario())


def test_a_server_that_does_not_greet_is_an_error_after_the_limit_and_can_be_stopped(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        server = place.server(leg)
        await server.start()
        (process,) = await processes(place, leg)
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(NbdError, match=r"no answer within 0\.\d+ s"):
            await server.start(limit_s=0.3)
        await server.stop()
        assert await serving(place.runtime / leg.name) == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "generic"},
        {"name": "../x"},
        {"name": ""},
        {"device": "dev/sda"},
        {"device": "/dev/%s"},
        {"device": "/dev/sda\nreadonly = true"},
        {"device": "/dev/sd\\x"},
        {"peers": ()},
        {"listen": ()},
        {"peers": ("db-02",)},
        {"listen": ("10.0.3.4, 0.0.0.0",)},
    ],
)
def test_what_nbd_server_would_misread_is_refused(place: Place, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        replace(place.export(), **wrong)  # type: ignore[arg-type]


def _lives(pid: int) -> bool:
    """Whether it is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
