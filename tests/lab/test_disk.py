"""What a guest's disk promises, seen by a client of its own."""

from __future__ import annotations

import errno
import select
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import disk
from tests.lab.disk import Disk, Trouble, everything, nothing, some
from tests.lab.nbd import Command

BLOCK = 4096


class Client:
    """As much of an NBD client as the tests need."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("rb")
        self._stream.read(18)  # the greeting
        name = b"data"
        go = struct.pack(">I", len(name)) + name + struct.pack(">H", 0)
        self._socket.sendall(struct.pack(">IQII", 3, 0x49484156454F5054, 7, len(go)) + go)
        info = struct.unpack(">QIIIHQH", self._stream.read(32))
        self.size_bytes, self.flags = info[5:]
        self._stream.read(20)  # that was all

    def begin(self, command: Command, block: int = 0, data: bytes = b"", length: int = 0) -> None:
        """Send a request whose answer nobody waits for yet."""
        head = struct.pack(">IHHQQI", 0x25609513, 0, command, 7, block * BLOCK, length or len(data))
        self._socket.sendall(head + data)

    def answers(self, within_s: float) -> bool:
        """Whether an answer comes so soon."""
        return bool(select.select([self._socket], [], [], within_s)[0])

    def error(self) -> int:
        """The errno that the next answer has."""
        _magic, error, cookie = struct.unpack(">IIQ", self._stream.read(16))
        assert cookie == 7
        return int(error)

    def write(self, block: int, letter: str) -> None:
        """Fill a block."""
        self.begin(Command.WRITE, block, letter.encode() * BLOCK)
        assert self.error() == 0

    def read(self, block: int) -> bytes:
        """A block."""
        self.begin(Command.READ, block, length=BLOCK)
        assert self.error() == 0
        return self._stream.read(BLOCK)

    def flush(self) -> None:
        """Make everything durable."""
        self.begin(Command.FLUSH)
        assert self.error() == 0

    def close(self) -> None:
        """Go away without a word, as a killed QEMU does."""
        self._stream.close()
        self._socket.close()


class Rig:
    """A disk of one megabyte, and its client."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk(folder / "image", size_mb=1)
        self._path = folder / "socket"
        self.connect()

    def connect(self) -> None:
        """Power on."""
        self.disk.plug_in(self._path)
        self.client = Client(self._path)

    def power_cut(self, keep: disk.Keep = nothing) -> str:
        """What the first blocks begin with then, "." for one never written."""
        self.client.close()
        self.disk.unplug(keep)
        data = self.disk.image.read_bytes()
        blocks = [data[at : at + BLOCK] for at in range(0, 16 * BLOCK, BLOCK)]
        assert all(len(set(block)) == 1 for block in blocks), "a block was kept in part"
        return "".join(chr(block[0] or ord(".")) for block in blocks)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.client.close()
    rig.disk.unplug()


def test_what_was_written_can_be_read(rig: Rig) -> None:
    assert rig.client.size_bytes == 1 << 20
    rig.client.write(3, "a")
    assert rig.client.read(3) == b"a" * BLOCK
    assert rig.client.read(4) == bytes(BLOCK)


def test_a_power_cut_loses_what_was_not_flushed_and_that_alone(rig: Rig) -> None:
    rig.client.write(0, "a")
    rig.client.write(1, "a")
    rig.client.flush()
    rig.client.write(1, "b")
    rig.client.write(1, "c")
    rig.client.write(2, "c")
    assert rig.power_cut().startswith("aa.")


def test_it_can_keep_all_of_it(rig: Rig) -> None:
    rig.client.write(1, "b")
    rig.client.write(1, "c")
    assert rig.power_cut(everything).startswith(".c.")


def test_it_can_keep_some_of_it_the_same_for_the_same_seed(rig: Rig) -> None:
    seen = set[str]()
    for seed in (1, 2, 1):
        for block in range(16):
            rig.client.write(block, "a")
        rig.client.flush()
        for block in range(16):
            rig.client.write(block, "b")
        seen.add(rig.power_cut(some(seed)))
        rig.connect()
    assert len(seen) == 2
    assert all(set(kept) == {"a", "b"} for kept in seen)


def test_a_write_that_survives_survives_over_the_older_ones_of_its_block(rig: Rig) -> None:
    for letter in "abc":
        rig.client.write(0, letter)
    assert rig.power_cut(lambda index: index != 2).startswith("b")


def test_a_power_cut_forgets_nothing_twice(rig: Rig) -> None:
    rig.client.write(0, "a")
    rig.power_cut(everything)
    rig.connect()
    assert rig.power_cut(nothing).startswith("a"), "what survived the first is on the medium"


def test_a_full_cache_writes_down_its_oldest(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "CACHE_BYTES", 2 * BLOCK)
    for block, letter in enumerate("abcd"):
        rig.client.write(block, letter)
    assert rig.power_cut().startswith("ab..")


def test_a_failing_disk_says_so_and_changes_nothing(rig: Rig) -> None:
    rig.disk.trouble(Trouble.FAIL)
    rig.client.begin(Command.WRITE, 0, b"a" * BLOCK)
    assert rig.client.error() == errno.EIO
    rig.disk.trouble(Trouble.NONE)
    assert rig.client.read(0) == bytes(BLOCK)


def test_a_full_disk_takes_no_write_and_is_read_as_ever(rig: Rig) -> None:
    rig.client.write(0, "a")
    rig.disk.trouble(Trouble.FULL)
    rig.client.begin(Command.WRITE, 0, b"b" * BLOCK)
    assert rig.client.error() == errno.ENOSPC
    assert rig.client.read(0) == b"a" * BLOCK


def test_a_hanging_disk_answers_when_it_is_mended(rig: Rig) -> None:
    rig.disk.trouble(Trouble.HANG)
    rig.client.begin(Command.WRITE, 0, b"a" * BLOCK)
    assert not rig.client.answers(within_s=0.2)
    rig.disk.trouble(Trouble.NONE)
    assert rig.client.error() == 0
    assert rig.client.read(0) == b"a" * BLOCK


def test_a_slow_disk_answers_late_and_at_once_when_it_is_mended(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.disk.trouble(Trouble.SLOW)
    rig.client.begin(Command.WRITE, 0, b"a" * BLOCK)
    assert not rig.client.answers(within_s=disk.SLOW_S / 3)
    assert rig.client.error() == 0
    monkeypatch.setattr(disk, "SLOW_S", 60.0)
    rig.client.begin(Command.WRITE, 0, b"b" * BLOCK)
    assert not rig.client.answers(within_s=0.2)
    rig.disk.trouble(Trouble.NONE)
    assert rig.client.error() == 0
    assert rig.client.read(0) == b"b" * BLOCK


def test_the_power_can_be_cut_while_it_hangs(rig: Rig) -> None:
    rig.disk.trouble(Trouble.HANG)
    rig.client.begin(Command.WRITE, 0, b"a" * BLOCK)
    assert rig.power_cut(everything).startswith(".")


def test_the_power_can_be_cut_before_anyone_connected(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "image", size_mb=1)
    disk.plug_in(tmp_path / "socket")
    disk.unplug()
