"""A secret in a file of its own: its first line, readable by the agent alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agent.notify.contract import NotSent

LONGEST = 4_096  # bytes
_MODES = (0o400, 0o600)


def read_secret(path: Path) -> str:
    """The first line; raises NotSent if it can't be had, or others could read it too. Blocks."""
    try:
        # O_NONBLOCK: a named pipe in its place must not hang the thread.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NotSent(
            f"{path} can't be opened: {error.strerror}", "write the secret into it, mode 0400"
        ) from error
    try:
        _check(path, os.fstat(descriptor))
        line = os.read(descriptor, LONGEST + 1).partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        raise NotSent(f"{path} can't be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if not 1 <= len(line) <= LONGEST:
        raise NotSent(
            f"{path} has no first line of 1 to {LONGEST} bytes", "write the secret into it as one line"
        )
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise NotSent(f"{path} is not UTF-8 text") from None  # the error would quote it


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotSent(f"{path} is not a regular file")
    if status.st_uid != os.geteuid():
        raise NotSent(
            f"{path} belongs to uid {status.st_uid}, and the agent runs as {os.geteuid()}", "use chown"
        )
    if (mode := stat.S_IMODE(status.st_mode)) not in _MODES:
        raise NotSent(f"{path} has mode {mode:04o}", f"chmod 0400 {path}")
