"""What a lab could leave behind on the host: processes, mounts, network devices, files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HostState:
    """Mounts and network devices outside of any lab, at one moment."""

    mounts: frozenset[str]
    devices: frozenset[str]

    @classmethod
    def now(cls) -> HostState:
        """In the namespaces of this program."""
        mounts = (line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
        devices = (
            line.split(":")[0].strip() for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]
        )
        return cls(frozenset(mounts), frozenset(devices))

    def left(self, pids: Iterable[int] = (), directory: Path | None = None) -> list[str]:
        """What is there now and wasn't then; and which of a lab's processes and files are there still."""
        now = HostState.now()
        found = [f"mount {mount}" for mount in sorted(now.mounts - self.mounts)]
        found += [f"device {device}" for device in sorted(now.devices - self.devices)]
        found += [f"process {pid}" for pid in pids if Path(f"/proc/{pid}").exists()]
        return found + ([f"directory {directory}"] if directory and directory.exists() else [])
