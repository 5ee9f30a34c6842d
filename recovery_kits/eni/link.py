"""The interface as this node's kernel has it, known by its MAC address.

Invariant: only files below /sys are read, which no network and no disk can hold up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IFF_UP = 1  # netdevice(7)


@dataclass(frozen=True)
class Link:
    """A device; `up` as its administrator wants it, whether or not it has a carrier."""

    name: str
    up: bool


def find_link(root: Path, mac: str) -> Link | None:
    """The device with that MAC address, or None; a bridge or VLAN that borrows the address doesn't count."""
    for folder in sorted((root / "sys/class/net").glob("*")):
        try:
            if (folder / "address").read_text().strip() != mac or not (folder / "device").exists():
                continue
            return Link(folder.name, bool(int((folder / "flags").read_text(), 16) & IFF_UP))
        except OSError:  # it has gone meanwhile, or is no device: bonding_masters
            continue
    return None
