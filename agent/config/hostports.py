"""Where something listens, as people write it: "10.0.0.1:53", "[fd00::1]:443", "proxy.example.com:3128"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

_WRITTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+)):([0-9]{1,5})")
_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True)
class HostPort:
    """A TCP port of a host: an IP address, or a name that is looked up when it is needed."""

    host: str  # an IPv6 address without its brackets
    port: int

    def __str__(self) -> str:
        """As `parse_host_port` reads it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host_port(text: str) -> HostPort:
    """The parts of a text such as "10.0.0.1:53"; raises ValueError for anything else."""
    match = _WRITTEN.fullmatch(text)
    if match is None or not 1 <= int(match[3]) <= 65_535:
        raise ValueError(f"not a host and a port: {text!r}")
    address, name, port = match.groups()
    return HostPort(str(IPv6Address(address)) if address else _host(name), int(port))


def _host(text: str) -> str:
    """An IPv4 address or a name; what looks like an address must be one."""
    if not text.strip("0123456789."):
        return str(IPv4Address(text))
    if len(text) > 253 or _NAME.fullmatch(text) is None:
        raise ValueError(f"not a host's name: {text!r}")
    return text
