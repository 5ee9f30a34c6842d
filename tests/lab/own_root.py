"""A root for what serves NFS in a guest: an ext4 that differs from node to node.

The guests' own root can't be exported, and a part of it is what an NFS client sees above the exported
directories. Everything but /mnt is the same in it; of /mnt there is the node's own disk, where it lies.
"""

from __future__ import annotations

from tests.lab.guest import Guest

ROOT = "/mnt/disk/root"
_MAKE = f"""
for each in /*; do
    [ "$each" != /mnt ] || continue
    if [ -L "$each" ]; then cp -P "$each" {ROOT}; continue; fi
    [ -d "$each" ] || continue
    mkdir -p {ROOT}"$each"
    mount --rbind "$each" {ROOT}"$each"
done
mkdir -p {ROOT}/mnt/DIR1 {ROOT}/mnt/disk
mount --bind /mnt/disk {ROOT}/mnt/disk
"""


def make(guest: Guest) -> None:
    """Once after each boot."""
    guest.shell(f"mkdir -p {ROOT}; {_MAKE}")
