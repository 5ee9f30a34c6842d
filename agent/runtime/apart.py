"""What a command leaves behind is an application: it lives in a control group apart from the agent's.

Keeps:
- only what is in the agent's own group is moved, and neither the agent nor its guardian;
- the event loop doesn't wait for it, and no action does;
- where the environment names no group (`KAGE_APPS_CGROUP`, set by kagemusha.service), nothing is moved.
"""

from __future__ import annotations

import errno
import logging
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from agent.fencing.guardlink import PROGRAM as GUARDIAN

VARIABLE = "KAGE_APPS_CGROUP"
_MOUNT = Path("/sys/fs/cgroup")

_log = logging.getLogger(__name__)


class Apart:
    """Moves applications out of the agent's control group, `own`, into `apps`; folders of cgroup v2."""

    def __init__(self, own: Path, apps: Path) -> None:
        self._own, self._apps = own / "cgroup.procs", apps / "cgroup.procs"
        self._worker = ThreadPoolExecutor(1, "apart")
        self._sweep: Future[None] | None = None
        self._told = False

    @classmethod
    def from_environment(cls) -> Apart | None:
        """None where the agent isn't started by its unit, or the host has no cgroup v2."""
        apps, own = os.environ.get(VARIABLE), own_group()
        if not apps or own is None:
            return None
        return cls(own, Path(apps))

    def sweep_soon(self) -> None:
        """A command has ended: move what it left. One sweep at a time; the next command's is soon enough."""
        if self._sweep is None or self._sweep.done():
            self._sweep = self._worker.submit(self.sweep)

    def sweep(self) -> None:
        """Move all applications now; what can't be moved stays where it is, which is told once."""
        try:
            for pid in map(int, self._own.read_text().split()):
                if pid != os.getpid() and not _is_guardian(pid):
                    self._move(pid)
        except OSError as error:
            if not self._told:
                _log.warning("applications stay in the agent's control group: %s", error)
            self._told = True

    def _move(self, pid: int) -> None:
        try:
            with self._apps.open("a") as procs:
                procs.write(f"{pid}\n")
        except OSError as error:
            if error.errno != errno.ESRCH:  # else it has ended
                raise


def own_group() -> Path | None:
    """The folder of this process's control group; None without cgroup v2."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::/"):
            return _MOUNT / line.removeprefix("0::/")
    return None


def _is_guardian(pid: int) -> bool:
    try:
        return os.fsencode(GUARDIAN) in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False  # it has ended
