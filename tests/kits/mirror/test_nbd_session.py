"""What an NBD session promises: what is asked for, or one clear error in time."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import pytest

from recovery_kits.mirror.listener import Export, server_command
from recovery_kits.mirror.nbd import Flag, NbdError
from recovery_kits.mirror.negotiation import negotiate
from tests.kits.mirror.nbd_servers import (
    ACK,
    GREETING,
    IMAGE_BYTES,
    REFUSED_UNKNOWN,
    Place,
    answer,
    export,
    free_port,
    saying,
)

PATIENT_S, HASTY_S = 20.0, 0.3


async def negotiation_with(
    script: bytes, *, limit_s: float = PATIENT_S, then: Literal["close", "silence", "repeat"] = "close"
) -> None:
    with saying(script, then=then) as port:
        (await negotiate("127.0.0.1", port, "dir1", limit_s=limit_s)).close()


def test_an_export_is_agreed_on_and_read_before_the_kernel_gets_it(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        await place.server(leg).start()
        async with await negotiate("127.0.0.1", leg.port, "dir1", limit_s=PATIENT_S) as session:
            assert session.size_bytes == IMAGE_BYTES
            assert Flag.FLUSH | Flag.FUA in session.flags
            assert Flag.READ_ONLY not in session.flags
            image = place.image.read_bytes()
            for offset, length in (
                (0, 4_096),
                (511, 2),
                (1_000, 2_500_000),
                (IMAGE_BYTES, 0),
                (0, IMAGE_BYTES),
            ):
                assert await session.read(offset, length) == image[offset : offset + length]

    asyncio.run(scenario())


def test_a_disk_that_takes_writes_is_as_it_was_after_it_was_asked(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        await place.server(leg).start()
        before = place.image.read_bytes()
        async with await negotiate("127.0.0.1", leg.port, "dir1", limit_s=PATIENT_S) as session:
            await session.rewrite(4_096, 4_096)
            assert await session.read(0, 4_096) == before[:4_096], "the line is in order"
        assert place.image.read_bytes() == before

    asyncio.run(scenario())


def test_a_disk_that_takes_no_write_gives_no_answer_in_mode_sync_and_an_error_in_mode_async(
    place: Place,
) -> None:
    async def scenario(mode: str, error: str, limit_s: float) -> None:
        leg = place.export(mode=mode)
        with full_disk(leg) as port:
            session = await negotiate("127.0.0.1", port, leg.name, limit_s=limit_s)
            with pytest.raises(NbdError, match=error):
                await session.rewrite(0, 512)

    asyncio.run(scenario("async", "can't write 512 bytes from 0: No space left on device", PATIENT_S))
    asyncio.run(scenario("sync", r"no answer within 2\.5 s", 2.5))  # longer than one try


@contextmanager
def full_disk(leg: Export) -> Iterator[int]:
    """The port of what the listener starts for a client; its disk can be read."""
    command = [*server_command("nbdkit", "/nowhere", leg), "error-pwrite=ENOSPC", "error-pwrite-rate=100%"]
    command.insert(command.index("--filter=fua") + 1, "--filter=error")
    del command[command.index("-P") : command.index("-P") + 2]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENT_S)

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                line = client.fileno()
                servers.append(subprocess.Popen(command, stdin=line, stdout=line))

        servers, thread = list[subprocess.Popen[bytes]](), threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()
            for server in servers:
                server.kill()
                server.wait(PATIENT_S)


def test_a_detached_socket_stands_at_a_message_s_start_and_sends_nothing_late(place: Place) -> None:
    async def scenario() -> socket.socket:
        leg = place.export()
        await place.server(leg).start()
        session = await negotiate("127.0.0.1", leg.port, "dir1", limit_s=PATIENT_S)
        await session.read(0, 512)
        sock = session.detach(user_timeout_ms=5_000)
        session.close()
        with pytest.raises(NbdError, match="the session is closed"):
            await session.read(0, 512)
        return sock

    with asyncio.run(scenario()) as sock:
        assert sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5_000
        assert struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) == (1, 0)
        sock.settimeout(PATIENT_S)
        sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, 77, 512, 512))
        found = b""
        while len(found) < 16 + 512:
            found += sock.recv(16 + 512 - len(found))
        assert found == struct.pack(">IIQ", 0x67446698, 0, 77) + (1).to_bytes(4, "big") * 128


def test_an_unknown_export_is_refused(place: Place) -> None:
    async def scenario() -> None:
        leg = place.export()
        await place.server(leg).start()
        with pytest.raises(NbdError, match=rf"^127\.0\.0\.1:{leg.port}/dir2: the server refused: "):
            await negotiate("127.0.0.1", leg.port, "dir2", limit_s=PATIENT_S)

    asyncio.run(scenario())


def test_where_nobody_listens_the_system_s_reason_is_told() -> None:
    with pytest.raises(NbdError, match="Connection refused") as caught:
        asyncio.run(negotiate("127.0.0.1", free_port(), "dir1", limit_s=PATIENT_S))
    assert caught.value.errno != 0


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (b"", "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no NBD server"),
        (b"NBDMAGIC\x00\x00\x42\x02\x81\x86\x12\x53" + bytes(136), "no NBD server of the newstyle"),
        (GREETING[:17], "closed the connection"),
        (GREETING[:16] + b"\x00\x00", "too old"),
        (GREETING, "closed the connection"),
        (GREETING + bytes(20), "something else than the answer to an option"),
        (GREETING + struct.pack(">QIII", 0x3E889045565A9, 6, ACK, 0), "something else than the answer"),
        (GREETING + answer(ACK), "without saying the export's size"),
        (GREETING + export(4_096)[:-1], "closed the connection"),
        (GREETING + answer(3, b"\x00\x00" + bytes(8)), "in 10 bytes instead of 12"),
        (GREETING + answer(3, b"\x00\x00" + bytes(900)), "in 902 bytes instead of 12"),
        (GREETING + export(1 << 63), "has 9223372036854775808 bytes"),
        (GREETING + answer(3, b"x"), "closed the connection"),
        (GREETING + answer(REFUSED_UNKNOWN, b"\xff" * 4_000), "refused: '\N{REPLACEMENT CHARACTER}{200}'"),
        (GREETING + answer(ACK, length=4_097), "4097 bytes long"),
        (GREETING + answer(3, length=0xFFFFFFFF), "4294967295 bytes long"),
        (GREETING + 40 * export(4_096), "32 answers"),
    ],
)
def test_a_broken_server_gives_one_clear_error(script: bytes, reason: str) -> None:
    with pytest.raises(NbdError, match=rf"^127\.0\.0\.1:\d+/dir1: .*{reason}"):
        asyncio.run(negotiation_with(script))


@pytest.mark.parametrize("script", [b"", GREETING, GREETING + export(4_096), GREETING + export(4_096)[:9]])
def test_a_silent_server_is_waited_for_no_longer_than_the_limit(script: bytes) -> None:
    with pytest.raises(NbdError, match=r"no answer within 0\.3 s"):
        asyncio.run(negotiation_with(script, limit_s=HASTY_S, then="silence"))


def test_a_server_that_talks_without_an_end_is_left_within_the_limit() -> None:
    with pytest.raises(NbdError, match=r"no answer within 0\.3 s"):
        asyncio.run(negotiation_with(b"N", limit_s=HASTY_S, then="repeat"))


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "closed the connection"),
        (bytes(16), "something else than the answer to a request"),
        (struct.pack(">IIQ", 0x67446698, 0, 2) + bytes(512), "something else than the answer to a request"),
        (struct.pack(">IIQ", 0x67446698, 5, 1), "can't read 512 bytes from 1024: Input/output error"),
        (struct.pack(">IIQ", 0x67446698, 0, 1) + bytes(511), "closed the connection"),
    ],
)
def test_a_read_that_goes_wrong_ends_the_session(reply: bytes, reason: str) -> None:
    async def scenario() -> None:
        with saying(GREETING + export(4_096) + answer(ACK) + reply) as port:
            session = await negotiate("127.0.0.1", port, "dir1", limit_s=PATIENT_S)
            with pytest.raises(NbdError, match=reason):
                await session.read(1_024, 512)
            with pytest.raises(NbdError, match="the session is closed"):
                await session.read(0, 512)

    asyncio.run(scenario())


def test_a_read_that_was_cut_short_ends_the_session() -> None:
    async def scenario() -> None:
        with saying(GREETING + export(4_096) + answer(ACK), then="silence") as port:
            session = await negotiate("127.0.0.1", port, "dir1", limit_s=PATIENT_S)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await session.read(0, 512)
            with pytest.raises(NbdError, match="the session is closed"):
                await session.read(0, 512)

    asyncio.run(scenario())
