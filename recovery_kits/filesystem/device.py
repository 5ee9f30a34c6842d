"""What a filesystem resource mounts, and how to know it again in the kernel's list of mounts.

Invariant: no path but those under /dev and /sys is looked at, so a disk that doesn't answer can't stop
the agent here.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from agent.config.errors import BadParameter
from recovery_kits.contract import CommandFailed, Run
from recovery_kits.filesystem.mounts import Mount, is_below

_TAGS = ("LABEL=", "UUID=", "PARTLABEL=", "PARTUUID=")


@dataclass(frozen=True, kw_only=True)
class FilesystemParameters:
    """The `filesystem` kit's parameters."""

    device: Annotated[
        str,
        Meta(
            description="A block device, LABEL=…, UUID=…, an image file (with the option loop), a "
            "directory (with the option bind), or what mount(8) takes for the type (tmpfs, nfs).",
            min_length=1,
            examples=["/dev/nvme1n1p1", "UUID=0a3407de-014b-458b-b5c1-848e92a327a3"],
        ),
    ]
    mount_point: Annotated[Path, Meta(description="An existing directory; not through a symbolic link.")]
    type: Annotated[
        str, Meta(description="The filesystem's type as for mount -t; none for bind.", examples=["xfs"])
    ] = "auto"
    options: Annotated[
        str, Meta(description="As for mount -o, comma-separated.", examples=["noatime,nodev"])
    ] = "defaults"
    fsck: Annotated[bool, Meta(description="Run fsck -p before mounting; ext2 to ext4 only.")] = False
    full: Annotated[
        Literal["warn", "fail"],
        Meta(
            description="What a full disk is: an alarm, or a failure that moves the service. The next "
            "node has the same data, so moving seldom helps."
        ),
    ] = "warn"
    holders_grace_ms: Annotated[
        int,
        Meta(description="How long processes may keep it busy after SIGTERM, and after SIGKILL.", ge=0),
    ] = 3_000

    def __post_init__(self) -> None:
        point = str(self.mount_point)
        if point != posixpath.normpath(point) or point == "/":
            raise BadParameter("mount_point", f"{point}: write the plain path of a directory other than /")
        if self.is_bind and not self.device.startswith("/"):
            raise BadParameter("device", f"{self.device}: the option bind needs a directory's absolute path")
        if self.is_bind and is_below(self.device, point):
            raise BadParameter("device", f"{self.device} lies below the mount point")
        if self.fsck and not self.type.startswith("ext"):
            raise BadParameter("fsck", f"is for ext2, ext3 and ext4, not {self.type}: leave it out")

    @property
    def flags(self) -> frozenset[str]:
        """The options one by one."""
        return frozenset(self.options.split(","))

    @property
    def is_bind(self) -> bool:
        """A directory is mounted, not a device."""
        return bool({"bind", "rbind"} & self.flags)

    @property
    def is_block_device(self) -> bool:
        """A block device, named by its path or by a tag."""
        by_name = self.device.startswith("/dev/") or self.device.startswith(_TAGS)
        return by_name and not self.is_bind

    @property
    def is_image(self) -> bool:
        """A file behind a loop device that mount(8) sets up."""
        return self.device.startswith("/") and not self.is_bind and not self.is_block_device


class Device:
    """A configured device as it is now: a tag has been looked up."""

    def __init__(self, parameters: FilesystemParameters, path: str, *, found: bool = True) -> None:
        self._parameters, self.path, self.found = parameters, path, found
        self._number = _block_number(path) if parameters.is_block_device and found else None

    @classmethod
    async def find(cls, parameters: FilesystemParameters, run: Run) -> Device:
        """Look a tag up by findfs(8); `found` is False when no device has it. Raises OSError."""
        if not (parameters.is_block_device and parameters.device.startswith(_TAGS)):
            return cls(parameters, parameters.device)
        try:
            return cls(parameters, (await run("findfs", parameters.device)).strip())
        except CommandFailed:
            return cls(parameters, parameters.device, found=False)

    def is_in(self, mount: Mount, mounts: Iterable[Mount]) -> bool:
        """Whether this is what is mounted there."""
        if self._parameters.is_bind:
            return (mount.device_number, mount.root) == self._bind_origin(mounts)
        if self._parameters.is_image:
            return mount.source.startswith("/dev/loop") and _backing_file(mount.source) == self.path
        if self._parameters.is_block_device:
            return mount.device_number == self._number or (  # btrfs has numbers of its own
                mount.source.startswith("/dev/")
                and os.path.realpath(mount.source) == os.path.realpath(self.path)
            )
        return (mount.source, mount.type) == (self.path, self._parameters.type)

    def _bind_origin(self, mounts: Iterable[Mount]) -> tuple[str, str]:
        """Which part of which filesystem the directory is; told from the mounts alone."""
        around = [mount for mount in mounts if mount.covers(self.path)]
        if not around:
            return "", ""
        longest = max(len(mount.mount_point) for mount in around)
        mount = next(mount for mount in reversed(around) if len(mount.mount_point) == longest)
        inside = posixpath.relpath(self.path, mount.mount_point)
        return mount.device_number, posixpath.normpath(posixpath.join(mount.root, inside))


def _block_number(path: str) -> str | None:
    """`259:1`, or None when there is no such device now."""
    try:
        number = Path(path).stat().st_rdev
    except OSError:
        return None
    return f"{os.major(number)}:{os.minor(number)}"


def _backing_file(loop: str) -> str:
    try:
        return Path(f"/sys/block/{posixpath.basename(loop)}/loop/backing_file").read_text().rstrip("\n")
    except OSError:
        return ""
