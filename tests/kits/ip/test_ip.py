"""The `ip` kit on a real veth pair in a network namespace of its own, and what only a table can show."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Address, IPv6Interface, ip_interface
from pathlib import Path

import pytest

from agent.config.errors import BadParameter
from agent.core.states import Health
from agent.runtime.process import Runner
from recovery_kits.contract import KitError, Run
from recovery_kits.ip import IpKit
from recovery_kits.ip.announce import _internet_checksum, announce, arp_announcement, neighbour_advertisement
from recovery_kits.ip.kit import IpParameters
from tests.kits.fakes import Faulty, Table, failed, tools

V4, V6 = ip_interface("10.1.0.10/32"), ip_interface("fd00:1::10/128")
SET_UP = """
ip link set lo up
ip link add v0 type veth peer name v1
ip link set v0 up
ip link set v1 up
"""


@dataclass
class Inside:
    """A network namespace with v0 and v1, the ends of one cable, and how to run things in it."""

    run: Runner
    pid: int

    async def __call__(
        self, *argv: str, env: Mapping[str, str] | None = None, log: Callable[[str], None] | None = None
    ) -> str:
        """Run a command inside."""
        return await self.run(*_enter(self.pid), *argv, env=env, log=log)

    def sh(self, script: str) -> str:
        """Run a shell script inside, now."""
        done = subprocess.run(
            [*_enter(self.pid), "sh", "-ec", script], check=True, capture_output=True, text=True, timeout=10
        )
        return done.stdout

    def addresses(self, device: str = "v0") -> list[str]:
        """The addresses on a device, without link-local ones."""
        (link,) = json.loads(self.sh(f"ip -json address show dev {device}"))
        held = [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]]
        return [one for one in held if not one.startswith("fe80")]


def _enter(pid: int) -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={pid}", "--net", *user, "--"]


@pytest.fixture
def inside(real_run: Runner) -> Iterator[Inside]:
    """A namespace that goes away with the test."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    with subprocess.Popen(
        ["unshare", *user, "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"\n"
            world = Inside(real_run, holder.pid)
            world.sh(SET_UP)
            yield world
        finally:
            holder.kill()


def kit(
    run: Run, address: IPv4Interface | IPv6Interface = V4, device: str = "v0", announced: bool = False
) -> IpKit:
    """The kit for an address on v0."""
    return IpKit(IpParameters(address=address, device=device, announce=announced), tools(run))


@pytest.mark.parametrize("address", [V4, V6, ip_interface("192.168.7.1/24")])
def test_every_action_twice_in_a_row(inside: Inside, address: IPv4Interface | IPv6Interface) -> None:
    vip = kit(inside, address)
    for action, there in (("restore", True), ("recover", True), ("remove", False)):
        for _ in range(2):
            asyncio.run(getattr(vip, action)())
            assert inside.addresses() == ([str(address)] if there else [])
            check = asyncio.run(vip.quick_check())
            assert check.health is (Health.OK if there else Health.FAILED)  # an IPv6 address at once, too
    asyncio.run(vip.restore())
    for _ in range(2):
        asyncio.run(vip.force_remove())
        assert inside.addresses() == []


@pytest.mark.parametrize(
    "fault", [failed("ip"), asyncio.CancelledError(), FileNotFoundError(2, "none", "ip")]
)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("action", ["restore", "remove"])
def test_any_call_may_fail_and_the_next_try_finishes(
    inside: Inside, action: str, after: bool, fault: BaseException
) -> None:
    opposite = {"restore": "remove", "remove": "restore"}[action]
    for at in range(2):  # look, change
        asyncio.run(getattr(kit(inside), opposite)())
        faulty = Faulty(inside, at, fault, after=after)
        try:
            asyncio.run(getattr(kit(faulty), action)())
        except (KitError, asyncio.CancelledError):
            asyncio.run(getattr(kit(inside), action)())
        assert faulty.count > at
        assert inside.addresses() == ([str(V4)] if action == "restore" else [])


def test_another_prefix_length_is_somebody_elses(inside: Inside) -> None:
    inside.sh("ip address add 10.1.0.10/24 dev v0")
    vip = kit(inside)
    with pytest.raises(KitError, match=r"restore: 10.1.0.10 is there as /24 on v0, not /32 on v0"):
        asyncio.run(vip.restore())
    assert asyncio.run(vip.quick_check()).health is Health.FAILED
    asyncio.run(vip.remove())
    assert inside.addresses() == []


def test_remove_does_not_call_an_address_on_another_device_inactive(inside: Inside) -> None:
    inside.sh("ip address add 10.1.0.10/32 dev v1; ip address add 10.1.0.10/32 dev v0")
    vip = kit(inside)
    assert "on v1" in asyncio.run(vip.quick_check()).why
    with pytest.raises(KitError, match=r"remove: 10.1.0.10 is there as /32 on v1"):
        asyncio.run(vip.remove())
    assert inside.addresses("v0") == []
    with pytest.raises(KitError, match=r"restore: 10.1.0.10 is there as /32 on v1"):
        asyncio.run(vip.restore())
    asyncio.run(vip.force_remove())
    assert inside.addresses("v1") == []


def test_remove_needs_neither_link_nor_device(inside: Inside) -> None:
    vip = kit(inside)
    asyncio.run(vip.restore())
    inside.sh("ip link set v1 down")
    assert asyncio.run(vip.quick_check()).why == "v0 is down"
    asyncio.run(vip.remove())
    assert inside.addresses() == []
    inside.sh("ip link del v0")
    asyncio.run(vip.remove())
    assert asyncio.run(vip.quick_check()).why == "no such device v0"


def test_restore_says_what_is_wrong_with_the_device(inside: Inside) -> None:
    with pytest.raises(KitError, match="res: restore: no such device eth9; there are lo, v0, v1"):
        asyncio.run(kit(inside, device="eth9").restore())
    inside.sh("ip link set v0 down")
    with pytest.raises(KitError, match="res: restore: v0 is down"):
        asyncio.run(kit(inside).restore())


def test_loopback_will_do(inside: Inside) -> None:
    vip = kit(inside, device="lo")
    asyncio.run(vip.restore())
    assert asyncio.run(vip.quick_check()).health is Health.OK
    assert str(V4) in inside.addresses("lo")


def test_validate_finds_what_would_fail(inside: Inside) -> None:
    assert asyncio.run(kit(inside).validate()) == []
    (finding,) = asyncio.run(kit(inside, device="eth9").validate())
    assert finding.problem == "no such device eth9; there are lo, v0, v1"
    inside.sh("ip address add 10.1.0.10/24 dev v1; ip link set v0 down")
    remedies = [finding.remedy for finding in asyncio.run(kit(inside).validate())]
    assert remedies == ["ip address del 10.1.0.10/24 dev v1", "ip link set v0 up"]
    for remedy in remedies:  # they do what they say
        inside.sh(remedy)
    assert asyncio.run(kit(inside).validate()) == []


@pytest.mark.parametrize(
    ("flag", "health"), [("tentative", Health.UNKNOWN), ("dadfailed", Health.FAILED), ("nodad", Health.OK)]
)
def test_an_ipv6_address_is_in_service_when_it_is_usable(table: Table, flag: str, health: Health) -> None:
    table.answer("ip", "-json", "address", "show", by=shown(V6, flag))
    assert asyncio.run(kit(table, V6).quick_check()).health is health


def test_a_duplicate_is_added_again_without_detection(table: Table) -> None:
    table.answer("ip", "-json", "address", "show", by=shown(V6, "dadfailed"))
    table.answer("ip", "address")
    asyncio.run(kit(table, V6).restore())
    assert [call[2] for call in table.calls if call[1] == "address"] == ["del", "add"]
    assert table.calls[-1][-1] == "nodad"


def shown(address: IPv4Interface | IPv6Interface, flag: str) -> str:
    """What `ip -json address show` prints of v0."""
    held = {"family": "inet6", "local": str(address.ip), "prefixlen": address.network.prefixlen, flag: True}
    link = {"ifname": "v0", "flags": ["UP"], "operstate": "UP", "address": "02:00:00:00:00:01"}
    return json.dumps([{**link, "addr_info": [held]}])


@pytest.mark.parametrize("answer", ["", "nonsense", "{}", '[{"ifname": "v0"}]', "[1]", failed("ip")])
def test_an_answer_that_cannot_be_read_is_unknown_and_changes_nothing(
    table: Table, answer: str | Exception
) -> None:
    table.answer("ip", "-json", by=answer)
    vip = kit(table)
    assert asyncio.run(vip.quick_check()).health is Health.UNKNOWN
    with pytest.raises(KitError):
        asyncio.run(vip.remove())
    assert all(call[1] == "-json" for call in table.calls)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("224.0.0.1/32", "can't be a virtual address"),
        ("::/128", "can't be a virtual address"),
        ("127.0.0.9/8", "can't be a virtual address"),
        ("10.1.0.0/24", "is the first or the last of 10.1.0.0/24"),
        ("10.1.0.255/24", "is the first or the last of 10.1.0.0/24"),
    ],
)
def test_an_address_nobody_can_use_is_refused(address: str, why: str) -> None:
    with pytest.raises(BadParameter, match=why) as caught:
        IpParameters(address=ip_interface(address), device="eth0")
    assert caught.value.key == "address"


@pytest.mark.parametrize("address", [V4, V6])
def test_an_announcement_reaches_the_other_end_of_the_cable(
    inside: Inside, address: IPv4Interface | IPv6Interface
) -> None:
    if os.geteuid() != 0:
        pytest.fail("a thread of this process has to enter the namespace: run as root")
    mac = json.loads(inside.sh("ip -json link show dev v0"))[0]["address"]
    heard = in_namespace(inside.pid, lambda: _announce_and_hear(mac, address))
    raw = bytes.fromhex(mac.replace(":", ""))
    if isinstance(address, IPv4Interface):
        assert heard == arp_announcement(raw, address.ip)
    else:
        assert heard == neighbour_advertisement(raw, address.ip)


def _announce_and_hear(mac: str, address: IPv4Interface | IPv6Interface) -> bytes:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as ear:
        ear.bind(("v1", 3))
        ear.settimeout(5)
        announce("v0", mac, address.ip)
        while True:
            frame, (_, _, packet_type, *_) = ear.recvfrom(2048)
            if packet_type != socket.PACKET_OUTGOING and address.ip.packed in frame:
                return frame


def in_namespace(pid: int, body: Callable[[], bytes]) -> bytes:
    """Run it in a thread that enters the network namespace and ends there."""
    results: list[bytes] = []

    def enter() -> None:
        with Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
            assert ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000) == 0
        results.append(body())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(10)
    (result,) = results
    return result


def test_an_advertisement_has_the_checksum_of_rfc_1071() -> None:
    frame = neighbour_advertisement(bytes.fromhex("020000000001"), IPv6Address("fd00:1::10"))
    packet = frame[14:]
    source_and_target, icmp = packet[8:40], packet[40:]
    assert (packet[6], packet[7], len(icmp)) == (socket.IPPROTO_ICMPV6, 255, 32)
    pseudo = source_and_target + len(icmp).to_bytes(4, "big") + socket.IPPROTO_ICMPV6.to_bytes(4, "big")
    assert _internet_checksum(pseudo + icmp) == 0


def test_an_announcement_that_cannot_be_sent_is_an_error(table: Table) -> None:
    table.answer("ip", "-json", "address", "show", by=shown(V6, "nodad").replace("v0", "no-such-dev"))
    with pytest.raises(KitError, match="the address is there but can't be announced"):
        asyncio.run(kit(table, V6, device="no-such-dev", announced=True).restore())
