"""Who uses a block device, as the kernel tells it: nothing here touches a disk."""

from __future__ import annotations

from pathlib import Path

from recovery_kits.filesystem.mounts import read_mounts

_BLOCK = Path("/sys/class/block")


def users(device: str) -> list[str]:
    """What keeps a device such as "md127" or "vda1" busy, in words; its partitions count, too.

    Mounts are those that this process sees.
    """
    directory = _BLOCK / device
    number = _text(directory / "dev")
    found = [f"mounted on {mount.mount_point}" for mount in read_mounts() if mount.device_number == number]
    if f"/dev/{device}" in _swaps():
        found.append("swap is on it")
    found += [f"{_said(holder)} is made of it" for holder in _names(directory / "holders")]
    for part in _names(directory):
        if (directory / part / "partition").exists():
            found += [f"its partition {part}: {use}" for use in users(part)]
    return found


def _said(holder: str) -> str:
    """`dm-0 (vg-data)`, `md127`."""
    name = _text(_BLOCK / holder / "dm" / "name")
    return f"{holder} ({name})" if name else holder


def _swaps() -> set[str]:
    return {line.split()[0] for line in _text(Path("/proc/swaps")).splitlines()[1:]}


def _names(directory: Path) -> list[str]:
    try:
        return sorted(each.name for each in directory.iterdir())
    except FileNotFoundError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # gone meanwhile, or it never had that
        return ""
