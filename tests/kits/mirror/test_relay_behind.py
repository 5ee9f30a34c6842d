"""What a relay promises that answers before it sends: order, a bound, a record of what isn't sent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recovery_kits.mirror.negotiation import Session
from recovery_kits.mirror.relay.backlog import Backlog, Bound, Record, Report, is_kept, recorded
from recovery_kits.mirror.relays import Relays
from tests.kits.mirror.nbd_servers import ACK, GREETING, Place, answer, export
from tests.kits.mirror.test_relay import NODE, relays_of
from tests.runtime.waiting import on_loop, until, wait_until

LIMIT_S = 20.0
SIZE_BYTES = 8 << 20
READ, WRITE, DISCONNECT, FLUSH = range(4)
FUA = 1
_HEAD = struct.Struct(">IHHQQI")
_REPLY = struct.Struct(">IIQ")


@dataclass
class Target:
    """A server that keeps what it is sent, and answers only while it is let."""

    port: int
    open: threading.Event = field(default_factory=threading.Event)
    said: list[tuple[int, int, bytes]] = field(default_factory=list)  # command, offset, data
    unanswered: int = 0
    fails: bool = False

    def durable(self) -> list[list[tuple[int, bytes]]]:
        """The writes of each epoch whose flush was answered, and those of the one under way."""
        epochs = list[list[tuple[int, bytes]]]([[]])
        for command, offset, data in list(self.said):
            if command == FLUSH:
                epochs.append([])
            elif command == WRITE:
                epochs[-1].append((offset, data))
        return epochs


@contextmanager
def target() -> Iterator[Target]:
    """A target of one client; it lets requests in at first."""

    def exactly(client: socket.socket, length: int) -> bytes:
        data = client.recv(length, socket.MSG_WAITALL) if length else b""
        if len(data) < length:
            raise ConnectionError
        return data

    def serve() -> None:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            try:
                client.sendall(GREETING)
                exactly(client, 4)
                _, _, length = struct.unpack(">8sII", exactly(client, 16))
                exactly(client, length)
                client.sendall(export(SIZE_BYTES) + answer(ACK))
                while True:
                    _, _, command, cookie, offset, length = _HEAD.unpack(exactly(client, _HEAD.size))
                    data = exactly(client, length if command == WRITE else 0)
                    here.said.append((command, offset, data))
                    if command == DISCONNECT:
                        return
                    here.unanswered += 1
                    here.open.wait()
                    here.unanswered -= 1
                    reply = _REPLY.pack(0x67446698, 5 if here.fails else 0, cookie)
                    client.sendall(reply + bytes(length if command == READ else 0))
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = Target(listener.getsockname()[1])
        here.open.set()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield here
        finally:
            here.open.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


class Kernel:
    """What the kernel does with its end."""

    def __init__(self, session: Session) -> None:
        self.sock = session.detach(user_timeout_ms=1_000)
        self.sock.settimeout(LIMIT_S)
        self.cookie = 0

    def __enter__(self) -> Kernel:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def ask(
        self, command: int, offset: int = 0, data: bytes = b"", *, flags: int = 0, length: int = 0
    ) -> int:
        self.cookie += 1
        head = _HEAD.pack(0x25609513, flags, command, self.cookie, offset, len(data) or length)
        self.sock.sendall(head + data)
        return self.cookie

    def answered(self) -> int:
        magic, number, cookie = _REPLY.unpack(self.sock.recv(_REPLY.size, socket.MSG_WAITALL))
        assert (magic, number) == (0x67446698, 0)
        return int(cookie)

    def do(self, command: int, offset: int = 0, data: bytes = b"", *, flags: int = 0) -> None:
        assert self.ask(command, offset, data, flags=flags) == self.answered()

    def hears_nothing(self, within_s: float = 0.3) -> bool:
        self.sock.settimeout(within_s)
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(LIMIT_S)

    def let_go(self) -> None:
        """As a disconnect of the kernel's."""
        self.ask(DISCONNECT)
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def started(place: Place, port: int, *, most_bytes: int = 1 << 20, within_ms: int = 60_000) -> Kernel:
    """A relay to that port, and the kernel at its near end; `place.runtime/behind` tells."""
    directory = place.runtime / "behind"
    directory.mkdir(parents=True)
    relays: Relays = place.relays(None, (most_bytes, within_ms))
    session = asyncio.run(
        relays.open("127.0.0.1", port, "dir1", limit_s=LIMIT_S, user_timeout_ms=5_000, behind=directory)
    )
    return Kernel(session)


def report(place: Place) -> Report | None:
    return Report.read(place.runtime / "behind/report")


def outstanding(place: Place) -> list[tuple[int, int]]:
    return list(recorded(place.runtime / "behind/record"))


def drained(place: Place) -> bool:
    told = report(place)
    return told is not None and told.drained


def test_writes_are_answered_at_once_and_all_sent_before_it_ends(place: Place) -> None:
    with target() as far, started(place, far.port) as kernel:
        far.open.clear()
        for number in range(10):
            kernel.do(WRITE, number * 4_096, bytes([number]) * 4_096)
            kernel.do(FLUSH)
        wait_until(lambda: (told := report(place)) is not None and told.lag_bytes == 40_960)
        assert outstanding(place) == [(0, 65_535)]
        assert is_kept(place.runtime / "behind/record")
        kernel.let_go()
        far.open.set()
        wait_until(lambda: drained(place))
    assert [epoch for epoch in far.durable() if epoch] == [
        [(number * 4_096, bytes([number]) * 4_096)] for number in range(10)
    ]
    wait_until(lambda: not relays_of(place))
    assert outstanding(place) == []
    assert not is_kept(place.runtime / "behind/record")


def test_what_comes_after_a_flush_is_sent_when_the_target_has_answered_it(place: Place) -> None:
    with target() as far, started(place, far.port) as kernel:
        far.open.clear()
        kernel.do(WRITE, 0, b"a" * 512)
        kernel.do(WRITE, 512, b"b" * 512, flags=FUA)
        kernel.do(WRITE, 1_024, b"c" * 512)
        wait_until(lambda: far.said)
        assert b"c" * 512 not in {data for _, _, data in far.said}
        far.open.set()
        kernel.let_go()
        wait_until(lambda: drained(place))
    epochs = [epoch for epoch in far.durable() if epoch]
    assert epochs[-1] == [(1_024, b"c" * 512)]
    assert [write for epoch in epochs for write in epoch] == [
        (0, b"a" * 512),
        (512, b"b" * 512),
        (1_024, b"c" * 512),
    ]


def test_at_the_bound_in_bytes_answers_wait_and_go_on_with_the_target(place: Place) -> None:
    with target() as far, started(place, far.port, most_bytes=1 << 20) as kernel:
        far.open.clear()
        for number in range(16):
            kernel.do(WRITE, number << 16, bytes(1 << 16))
        kernel.ask(WRITE, 0, bytes(512))
        assert kernel.hears_nothing()
        wait_until(lambda: (told := report(place)) is not None and told.lag_bytes == 1 << 20)
        far.open.set()
        assert kernel.answered() == kernel.cookie
        kernel.let_go()
        wait_until(lambda: drained(place))


def test_when_the_oldest_write_is_too_old_answers_wait(place: Place) -> None:
    with target() as far, started(place, far.port, within_ms=100) as kernel:
        far.open.clear()
        kernel.do(WRITE, 0, bytes(512))
        wait_until(lambda: (told := report(place)) is not None and told.lag_ms > 100)
        kernel.ask(FLUSH)
        assert kernel.hears_nothing()
        far.open.set()
        assert kernel.answered() == kernel.cookie
        kernel.let_go()


def test_a_read_sees_what_was_written_before_it(place: Place) -> None:
    with target() as far, started(place, far.port) as kernel:
        far.open.clear()
        kernel.do(WRITE, 0, b"x" * 512)
        kernel.ask(READ, 0, length=512)
        assert kernel.hears_nothing()
        far.open.set()
        assert kernel.answered() == kernel.cookie
        assert kernel.sock.recv(512, socket.MSG_WAITALL) == bytes(512)
        kernel.let_go()
    commands = [command for command, _, _ in far.said]
    assert commands.index(READ) > commands.index(FLUSH) > commands.index(WRITE)


@pytest.mark.parametrize("how", ["relay killed", "disk fails"])
def test_what_was_not_sent_is_on_record_and_never_called_drained(place: Place, how: str) -> None:
    with target() as far, started(place, far.port) as kernel:
        kernel.do(WRITE, 0, bytes(512))
        wait_until(lambda: outstanding(place) == [])
        far.open.clear()
        kernel.do(WRITE, 3 << 20, bytes(1 << 17))
        if how == "relay killed":
            (pid,) = relays_of(place)
            os.kill(pid, signal.SIGKILL)
        else:
            far.fails = True
            far.open.set()
        assert kernel.sock.recv(1) == b""
        wait_until(lambda: not relays_of(place))
        assert outstanding(place) == [
            (3 << 20, (3 << 20) + 65_535),
            ((3 << 20) + 65_536, (3 << 20) + (1 << 17) - 1),
        ]
        assert not drained(place)
        assert not is_kept(place.runtime / "behind/record")


@on_loop
async def test_a_leg_behind_tls_and_the_real_server_gets_everything(place: Place) -> None:
    leg = place.export(tls=True, mode="async")
    await place.server(leg, NODE).start()
    directory = place.runtime / "behind"
    directory.mkdir(parents=True)
    relays = place.relays(NODE, (1 << 20, 5_000))
    session = await relays.open(
        "127.0.0.1", leg.port, "dir1", limit_s=LIMIT_S, user_timeout_ms=5_000, behind=directory
    )
    assert session.description.partition(" ")[0] == "async"

    def write() -> None:
        for number in range(64):
            kernel.do(WRITE, number * 8_192, bytes([number + 1]) * 8_192)
            if number % 5 == 0:
                kernel.do(FLUSH)
        kernel.let_go()

    with Kernel(session) as kernel:
        await asyncio.to_thread(write)
    await until(lambda: drained(place))
    wanted = b"".join(bytes([number + 1]) * 8_192 for number in range(64))
    assert place.image.read_bytes()[: len(wanted)] == wanted


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("write"), st.integers(0, 60), st.integers(1, 300_000)),
            st.tuples(st.just("confirm"), st.integers(1, 5), st.just(0)),
            st.tuples(st.just("wait"), st.integers(1, 90), st.just(0)),
        ),
        max_size=60,
    )
)
def test_no_order_of_events_goes_beyond_the_bound_or_leaves_the_record_wrong(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("record") / "record"
    bound, now = Bound(500_000, 100), 0
    backlog, mine = Backlog(bound, Record(path, 16 << 20)), list[tuple[int, int, int]]()
    for what, number, length in steps:
        if what == "wait":
            now += number
        elif what == "confirm":
            count = min(number, len(mine))
            backlog.confirm(count)
            del mine[:count]
        elif backlog.has_room(length, now):
            backlog.accept(number << 16, length, now)
            mine.append((number << 16, length, now))
        assert backlog.bytes == sum(length for _, length, _ in mine)
        assert len(mine) <= 1 or backlog.bytes <= bound.most_bytes
        assert not mine or mine[-1][2] - mine[0][2] <= bound.within_ms
        touched = {
            at >> 16 for offset, length, _ in mine for at in range(offset, offset + length, 1)[:: 1 << 15]
        }
        touched |= {(offset + length - 1) >> 16 for offset, length, _ in mine}
        assert {first >> 16 for first, _ in recorded(path)} == touched
