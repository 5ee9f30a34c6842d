"""The netlink half that any kernel can show; tests/lab/test_nbd.py has the rest."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from pathlib import Path

import pytest

from recovery_kits.mirror import genetlink, links
from recovery_kits.mirror.genetlink import Message, attribute, attributes, nested, u32, u64
from recovery_kits.mirror.links import DeadLinks, find
from recovery_kits.mirror.nbd import NbdError

LINK_DEAD, STATUS = 4, 5


def event(command: int, payload: bytes, *, kind: int = 30) -> bytes:
    """A message of generic netlink as the kernel sends it."""
    body = struct.pack("=BBH", command, 1, 0) + payload
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_the_kernel_tells_a_family_and_its_groups() -> None:
    control = genetlink.family("nlctrl")  # the one that every kernel has
    assert control.number == 16
    assert control.groups["notify"] > 0
    with genetlink.listener(control, "notify") as sock:
        assert not sock.getblocking()


def test_what_the_kernel_does_not_have_is_an_error_with_its_number() -> None:
    with pytest.raises(FileNotFoundError):
        genetlink.family("kage-none")
    with pytest.raises(FileNotFoundError):
        genetlink.listener(genetlink.family("nlctrl"), "no such group")
    with pytest.raises(OSError, match="not supported"):
        genetlink.ask(genetlink.family("nlctrl"), 200, b"")


def test_attributes_are_padded_and_found_again() -> None:
    packed = attribute(1, b"abc\0\0") + u32(2, 7) + u64(3, 1 << 40) + nested(4, u32(1, 9))
    assert len(packed) % 4 == 0
    found = dict(attributes(packed))
    assert genetlink.text(found[1]) == "abc"
    assert genetlink.as_u32(found[2]) == 7
    assert found[3] == struct.pack("=Q", 1 << 40)
    assert dict(attributes(found[4])) == {1: struct.pack("=I", 9)}


@pytest.mark.parametrize("length", [0, 3, 9, 0xFFFF])
def test_an_attribute_of_an_impossible_length_is_an_error(length: int) -> None:
    with pytest.raises(OSError, match=f"an attribute of {length} bytes"):
        list(attributes(struct.pack("=HH", length, 1) + bytes(4)))


@pytest.mark.parametrize("length", [0, 15, 1_000])
def test_a_message_of_an_impossible_length_is_an_error(length: int) -> None:
    with pytest.raises(OSError, match=f"a message of {length} bytes"):
        genetlink.events(struct.pack("=IHHII", length, 30, 0, 0, 0) + bytes(4))


def test_messages_that_come_together_are_told_apart() -> None:
    data = event(LINK_DEAD, u32(1, 3)) + event(STATUS, b"")
    first, second = genetlink.events(data)
    assert first == Message(LINK_DEAD, {1: struct.pack("=I", 3)})
    assert second == Message(STATUS, {})


def test_dead_links_are_told_in_their_order_and_nothing_else_is() -> None:
    async def scenario() -> None:
        kernel, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)
        with kernel, DeadLinks(ours) as dead:
            kernel.send(event(STATUS, u32(1, 9)))
            kernel.send(event(LINK_DEAD, u32(1, 3)) + event(LINK_DEAD, u32(1, 5)))
            kernel.send(event(LINK_DEAD, u32(1, 3)))
            assert [await dead.next() for _ in range(3)] == [3, 5, 3]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await dead.next()

    asyncio.run(scenario())


def test_a_device_is_found_by_its_identifier_and_two_of_one_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_BLOCK_DEVICES", tmp_path)
    assert find("mine") is None
    for index, identifier in ((0, "mine"), (7, "theirs"), (12, "mine-too")):
        (tmp_path / f"nbd{index}").mkdir()
        (tmp_path / f"nbd{index}/backend").write_text(f"{identifier}\n")
    (tmp_path / "nbd3").mkdir()  # not connected: it has no such file
    assert find("mine") == 0
    assert find("mine-too") == 12
    assert find("") is None
    (tmp_path / "nbd3/backend").write_text("mine\n")
    with pytest.raises(NbdError, match=r"^nbd mine: several devices .*\[0, 3\]"):
        find("mine")


def test_a_request_that_hangs_in_the_kernel_is_an_error_after_its_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = threading.Event()

    def hang(name: str) -> genetlink.Family:
        done.wait()
        raise OSError(5, "Input/output error")

    async def scenario() -> None:
        try:
            with pytest.raises(
                NbdError, match=r"^nbd4: disconnect: the kernel hasn't done it within 0\.05 s"
            ):
                await links.disconnect(4, limit_s=0.05)
        finally:
            done.set()

    monkeypatch.setattr(genetlink, "family", hang)
    asyncio.run(scenario())


def test_an_error_of_the_kernel_s_says_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> genetlink.Family:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(genetlink, "family", refuse)
    with pytest.raises(NbdError, match=r"^nbd4: status: Device or resource busy$") as caught:
        asyncio.run(links.connected(4))
    assert caught.value.errno == 16
