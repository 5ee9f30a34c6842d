"""What would keep a filesystem from being mounted here, or mount it behind the agent's back."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from recovery_kits.contract import CommandFailed, Finding, Run
from recovery_kits.filesystem.device import Device, FilesystemParameters
from recovery_kits.filesystem.mounts import on_top, read_mounts

_FSTAB = Path("/etc/fstab")


async def findings(parameters: FilesystemParameters, run: Run, fstab: Path = _FSTAB) -> list[Finding]:
    """Look at the programs, the device, the mount point and fstab(5); raises OSError."""
    missing = [name for name in ("mount", "umount", "findfs", "dd", "sh") if shutil.which(name) is None]
    if missing:
        return [Finding(f"there is no {', '.join(missing)}", "install util-linux, mount and coreutils")]
    return [
        *await _device_findings(parameters, run),
        *_mount_point_findings(parameters.mount_point),
        *await asyncio.to_thread(_fstab_findings, parameters, fstab),
    ]


async def _device_findings(parameters: FilesystemParameters, run: Run) -> list[Finding]:
    if not parameters.is_block_device:
        return []
    device = await Device.find(parameters, run)
    if not device.found:
        return [Finding(f"no device has {parameters.device}", "list what there is: lsblk --fs")]
    if not _is_block_device(device.path):
        return [Finding(f"{device.path} is not a block device here", "list what there is: lsblk --fs")]
    if parameters.type == "auto":
        return []
    try:
        type_ = (await run("blkid", "-o", "value", "-s", "TYPE", "--", device.path)).strip()
    except CommandFailed:
        return [
            Finding(f"there is no filesystem on {device.path}", f"mkfs -t {parameters.type} {device.path}")
        ]
    if type_ != parameters.type:
        return [Finding(f"{device.path} holds {type_}, not {parameters.type}", f'write type = "{type_}"')]
    return []


def _is_block_device(path: str) -> bool:
    return Path(path).is_block_device()  # below /dev, which never hangs


def _mount_point_findings(point: Path) -> list[Finding]:
    """Nothing is looked at while something is mounted there: that disk may hang."""
    if on_top(read_mounts(), str(point)) is not None:
        return []
    if not point.is_dir():
        return [Finding(f"{point} is not a directory", f"mkdir -p {point}")]
    if point.resolve() != point:
        return [Finding(f"{point} leads to {point.resolve()}", f'write mount_point = "{point.resolve()}"')]
    if any(point.iterdir()):
        return [Finding(f"{point} holds files, which the mount will hide", "move them away")]
    return []


def _fstab_findings(parameters: FilesystemParameters, fstab: Path) -> list[Finding]:
    try:
        lines = fstab.read_text(errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) < 4 or fields[0].startswith("#"):
            continue
        ours = fields[0] == parameters.device or fields[1] == str(parameters.mount_point)
        if ours and "noauto" not in fields[3].split(","):
            found.append(
                Finding(f"{fstab} mounts {fields[1]} at boot", "take the line out, or add noauto to it")
            )
    return found
