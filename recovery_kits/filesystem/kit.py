"""A filesystem, mounted on the active node only.

Invariants:
- the agent's own process never touches a file on the filesystem: a disk that doesn't answer would stop
  it. What touches it are commands, which end, or are left behind, with their action;
- `remove` returns only when the mount is gone and, for a block device, nobody else has it mounted, in
  whatever mount namespace: the device itself says so;
- the kit unmounts what it mounted; what somebody else mounted is reported.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from recovery_kits.contract import Check, CommandFailed, Finding, Kit, KitError
from recovery_kits.filesystem.device import Device, FilesystemParameters
from recovery_kits.filesystem.mounts import Mount, deepest_first, is_below, on_top, read_mounts
from recovery_kits.filesystem.unmount import Busy, detach, still_claimed, unmount
from recovery_kits.filesystem.validation import findings

_PROBE = ".kagemusha-check"
# Unlinking first and creating exclusively: an application that owns the directory can't make root
# follow a symbolic link. The file goes each time, so that a full disk has to find new room.
_WRITE = (
    'rm -f -- "$1" || exit; '
    'dd if=/dev/zero of="$1" bs=4096 count=1 conv=excl,fsync oflag=nofollow status=none; code=$?; '
    'rm -f -- "$1" || exit; exit $code'
)
_NO_ROOM = ("No space left on device", "Disk quota exceeded")
_TERM_THEN_KILL = (signal.SIGTERM, signal.SIGKILL)


@dataclass(frozen=True)
class Standing:
    """Where the device is mounted, and what is at the mount point."""

    found: bool  # False: no device has the tag now, so whatever is at the mount point counts as ours
    ours: Mount | None  # the device at the mount point, seen or covered
    top: Mount | None  # what is seen at the mount point
    inside: list[Mount]  # ours, what covers it, and what is mounted below; in the order to unmount in
    elsewhere: list[Mount]  # a block device's other mounts

    @property
    def in_place(self) -> bool:
        """The device is what is seen at the mount point."""
        return self.ours is not None and self.top is self.ours


class FilesystemKit(Kit[FilesystemParameters]):
    """A mount, e.g. /dev/nvme1n1p1 on /mnt/DIR1."""

    kind = "filesystem"
    summary = "a filesystem that is mounted on the active node only"
    Parameters = FilesystemParameters

    async def restore(self) -> None:
        """Mount it; mounted right already is success."""
        standing = await self._standing("restore")
        if not standing.found:
            raise self.error("restore", f"no device has {self.parameters.device}")
        if standing.top is not None and (trouble := self._trouble(standing)):
            raise self.error("restore", trouble)
        if standing.in_place:
            return
        if standing.elsewhere:
            raise self.error("restore", self._elsewhere_text(standing))
        await self._fsck()
        await self._mount("restore", self.parameters.options)
        if trouble := self._trouble(await self._standing("restore")):
            raise self.error("restore", f"mount said it had worked, but {trouble}")

    async def remove(self) -> None:
        """Unmount it, ending the processes that keep it busy: SIGTERM, then SIGKILL."""
        standing = await self._standing("remove")
        for mount in standing.inside:
            await self._unmount("remove", mount.mount_point, _TERM_THEN_KILL)
        if standing.elsewhere:
            raise self.error("remove", self._elsewhere_text(standing))
        await self._require_free("remove")

    async def force_remove(self) -> None:
        """Unmount it wherever it is, SIGKILL first; the last means is a lazy unmount that proves itself."""
        standing = await self._standing("force-remove")
        for mount in deepest_first(standing.elsewhere) + standing.inside:
            try:
                await self._unmount("force-remove", mount.mount_point, (signal.SIGKILL,))
            except KitError:
                if not self.parameters.is_block_device:  # nothing could tell whether it is still in use
                    raise
                await self._detach(mount.mount_point)
        await self._require_free("force-remove")

    async def quick_check(self) -> Check:
        """It is mounted, and a small file can be written, synced and deleted."""
        try:
            standing = await self._look()
        except (OSError, ValueError) as problem:
            return Check.unknown(f"can't tell what is mounted: {problem}")
        if trouble := self._trouble(standing):
            return Check.failed(trouble)
        return await self._probe()

    async def recover(self) -> None:
        """Mount it again if it has gone, or make it writable again. Unmounting would take its users along."""
        standing = await self._standing("recover")
        if standing.in_place and standing.top is not None and standing.top.read_only:
            await self._mount("recover", "remount,rw")
        elif not standing.in_place:
            await self.restore()
        check = await self.quick_check()
        if check != Check.ok():
            raise self.error("recover", check.why)

    async def validate(self) -> list[Finding]:
        """The device, the mount point, /etc/fstab."""
        return await findings(self.parameters, self.tools.run)

    def _trouble(self, standing: Standing) -> str:
        """Why it isn't mounted as it should be, or ""."""
        point, top = self.parameters.mount_point, standing.top
        if top is None:
            return f"nothing is mounted on {point}"
        if not standing.in_place:
            return f"{top.source} ({top.type}) is mounted on {point}, not {self.parameters.device}"
        if top.read_only and "ro" not in self.parameters.flags:
            return f"{point} has become read-only"
        return ""

    async def _probe(self) -> Check:
        point = self.parameters.mount_point
        try:
            if "ro" in self.parameters.flags:
                await self.tools.run("stat", "--file-system", "--", str(point))
            else:
                await self.tools.run("sh", "-c", _WRITE, "sh", str(point / _PROBE))
        except CommandFailed as problem:
            if any(text in problem.output for text in _NO_ROOM) and self.parameters.full == "warn":
                return Check.unknown(f"{point} is full")
            return Check.failed(f"{point} can't be written to: {problem.output.strip() or problem.code}")
        except OSError as problem:
            return Check.unknown(f"{point} can't be tried: {problem}")
        return Check.ok()

    async def _fsck(self) -> None:
        if not self.parameters.fsck:
            return
        try:
            await self.tools.run("fsck", "-p", self.parameters.device, log=self.tools.log)
        except CommandFailed as problem:
            if problem.code != 1:  # 1: errors were corrected; fsck(8)
                raise self.error("restore", str(problem)) from problem
        except OSError as problem:
            raise self.error("restore", str(problem)) from problem

    async def _mount(self, action: str, options: str) -> None:
        ours = self.parameters
        what = ["-t", ours.type, "-o", options, "--", ours.device, str(ours.mount_point)]
        if options.startswith("remount"):
            what = ["-o", options, "--", str(ours.mount_point)]
        try:
            await self.tools.run("mount", *what, log=self.tools.log)
        except (CommandFailed, OSError) as problem:
            raise self.error(action, str(problem)) from problem

    async def _unmount(self, action: str, mount_point: str, signals: tuple[signal.Signals, ...]) -> None:
        grace_s = self.parameters.holders_grace_ms / 1000
        try:
            await unmount(mount_point, self.tools, signals=signals, grace_s=grace_s)
        except (Busy, OSError, ValueError) as problem:
            raise self.error(action, str(problem)) from problem

    async def _detach(self, mount_point: str) -> None:
        try:
            await detach(mount_point, self.tools)
        except Busy as problem:
            raise self.error("force-remove", str(problem)) from problem

    async def _require_free(self, action: str) -> None:
        if not self.parameters.is_block_device:
            return
        try:
            device = await Device.find(self.parameters, self.tools.run)
        except OSError as problem:
            raise self.error(action, str(problem)) from problem
        if not device.found:
            return
        grace_s = self.parameters.holders_grace_ms / 1000
        if why := await still_claimed(device.path, self.tools, grace_s=grace_s):
            raise self.error(action, f"{device.path} is unmounted here, but somebody still has it: {why}")

    def _elsewhere_text(self, standing: Standing) -> str:
        points = ", ".join(mount.mount_point for mount in standing.elsewhere)
        return f"{self.parameters.device} is also mounted on {points}, and not by this resource"

    async def _standing(self, action: str) -> Standing:
        try:
            return await self._look()
        except (OSError, ValueError) as problem:
            raise self.error(action, f"can't tell what is mounted: {problem}") from problem

    async def _look(self) -> Standing:
        """Raises OSError when a program is missing, ValueError when the kernel's list can't be read."""
        device = await Device.find(self.parameters, self.tools.run)
        mounts, point = read_mounts(), str(self.parameters.mount_point)
        same = [mount for mount in mounts if device.is_in(mount, mounts)]
        there = [mount for mount in mounts if mount.mount_point == point]
        ours = [mount for mount in there if mount in same] if device.found else there
        since = mounts[mounts.index(ours[0]) :] if ours else []
        return Standing(
            found=device.found,
            ours=ours[-1] if ours else None,
            top=on_top(mounts, point),
            inside=deepest_first(mount for mount in since if is_below(mount.mount_point, point)),
            elsewhere=[mount for mount in same if not is_below(mount.mount_point, point)]
            if self.parameters.is_block_device
            else [],
        )
