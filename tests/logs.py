"""The logs that a failed test shows: whoever starts something for a test leaves here how to read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

LOGS = pytest.StashKey[Callable[[], str]]()


def tails(directory: Path, lines: int = 40) -> str:
    """The ends of all logs there, for people who look for what went wrong."""
    return "\n".join(
        f"--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
        for path in sorted(directory.glob("*.log"))
    )


def pressure() -> str:
    """How long this machine's processes have waited for it, in per cent of the last 10, 60 and 300 s."""
    return "\n".join(
        f"{path.name}: {line}" for path in sorted(Path("/proc/pressure").glob("*")) for line in _lines(path)
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []  # a kernel that doesn't count it
