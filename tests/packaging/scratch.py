"""A machine's root to install into: the host's own files with a layer above them that goes away.

The layer (overlayfs on a tmpfs) lives in a mount namespace of its own, so the host sees nothing of it and
nothing is left when the process that holds the namespace ends. There is no systemd in it; a `systemctl` that
writes down how it is called can stand in for one.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

LIMIT_S = 240
LAYER = """
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount -t tmpfs tmpfs "$1/root/run"
mount -t tmpfs tmpfs "$1/root/tmp"
echo ready
cat
"""
SYSTEMCTL = """\
#!/bin/sh
echo "$@" >>/tmp/systemctl.log
[ "$1" != is-active ] || cat /tmp/is-active
"""


class ScratchRoot:
    """Enter it to have it; `run` runs a shell script in it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._holder: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", LAYER, "sh", str(self._place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._holder is not None
        self._holder.communicate(timeout=LIMIT_S)  # closes its input, and so ends it

    def run(self, script: str, *arguments: str) -> str:
        """What `script` printed, both ways; AssertionError with it when it failed."""
        assert self._holder is not None
        inside = ["chroot", str(self._place / "root"), "sh", "-ec", script, "sh", *arguments]
        done = subprocess.run(
            ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *inside],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def add(self, source: Path) -> str:
        """Copy a file into the root; where it is there."""
        assert self._holder is not None
        to = self._place / "root/tmp" / source.name
        subprocess.run(
            ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "cp", str(source), str(to)],
            timeout=LIMIT_S,
            check=True,
        )
        return f"/tmp/{source.name}"

    def pretend_systemd(self, agent_is: str) -> None:
        """Let scripts find a systemd whose agent is "active" or "inactive"; it only takes notes."""
        self.run(
            "mkdir -p /run/systemd/system; rm -f /tmp/systemctl.log; echo $1 >/tmp/is-active;"
            'rm -f /usr/bin/systemctl; printf %s "$2" >/usr/bin/systemctl; chmod 755 /usr/bin/systemctl',
            agent_is,
            SYSTEMCTL,
        )

    def asked_of_systemd(self) -> list[str]:
        """How `systemctl` has been called since `pretend_systemd`."""
        return self.run("cat /tmp/systemctl.log 2>/dev/null || true").splitlines()
