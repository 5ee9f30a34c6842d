"""Tells the neighbours on a link that an address has moved here.

Frames are built by hand because the tools that send them (arping, ndsend) differ between distributions.
Sources: RFC 5227 §3 and RFC 826 (ARP announcement), RFC 4861 §4.4 and §7.2.6 (unsolicited neighbour
advertisement), RFC 2464 §7 (multicast over Ethernet), RFC 1071 (checksum).
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address

_ETHERTYPE_ARP, _ETHERTYPE_IPV6 = 0x0806, 0x86DD
_ALL_NODES = IPv6Address("ff02::1")
_REPEATS = 3  # a frame may be lost, and nobody acknowledges it


def announce(device: str, mac: str, address: IPv4Address | IPv6Address) -> None:
    """Send the frame that fits the address; needs CAP_NET_RAW. Raises OSError."""
    hardware = bytes.fromhex(mac.replace(":", ""))
    if isinstance(address, IPv4Address):
        frame = arp_announcement(hardware, address)
    else:
        frame = neighbour_advertisement(hardware, address)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.setblocking(False)
        link.bind((device, 0))
        for _ in range(_REPEATS):
            link.send(frame)


def arp_announcement(mac: bytes, address: IPv4Address) -> bytes:
    """A broadcast ARP request in which sender and target are both the address."""
    header = struct.pack("!6s6sH", b"\xff" * 6, mac, _ETHERTYPE_ARP)
    request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
    return header + request + mac + address.packed + bytes(6) + address.packed


def neighbour_advertisement(mac: bytes, address: IPv6Address) -> bytes:
    """An unsolicited advertisement to all nodes of the link, overriding what they knew."""
    override = 0x20000000
    body = struct.pack("!I16sBB6s", override, address.packed, 2, 1, mac)
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!II", len(body) + 4, socket.IPPROTO_ICMPV6)
    checksum = _internet_checksum(pseudo + struct.pack("!BBH", 136, 0, 0) + body)
    icmp = struct.pack("!BBH", 136, 0, checksum) + body
    fixed = struct.pack("!IHBB", 6 << 28, len(icmp), socket.IPPROTO_ICMPV6, 255)
    header = struct.pack("!6s6sH", b"\x33\x33" + _ALL_NODES.packed[-4:], mac, _ETHERTYPE_IPV6)
    return header + fixed + address.packed + _ALL_NODES.packed + icmp


def _internet_checksum(data: bytes) -> int:
    """The one's complement sum of 16-bit words; `data` has an even length."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
