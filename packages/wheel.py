"""The wheel: the same bytes from the same commit, wherever and whenever it is built."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from packages.target import ROOT, call


def source_date_epoch(root: Path = ROOT) -> str:
    """The time that everything built is dated with, in seconds: as given, or the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return given
    if not (root / ".git").exists():
        raise SystemExit("packages: without a git clone set SOURCE_DATE_EPOCH, e.g. to `date +%s`")
    return call("git", "log", "-1", "--format=%ct", cwd=root).strip()


def build_wheel(out: Path, epoch: str, root: Path = ROOT) -> Path:
    """Build the wheel of the source tree `root` into `out`."""
    return _build("wheel", out, epoch, root)


def build_sdist(out: Path, epoch: str, root: Path = ROOT) -> Path:
    """Build the source archive of the source tree `root` into `out`."""
    return _build("sdist", out, epoch, root)


def _build(target: str, out: Path, epoch: str, root: Path) -> Path:
    printed = call(
        sys.executable,
        *("-m", "hatchling", "build", "--target", target, "--directory", out.absolute()),
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        cwd=root,
    )
    return out / Path(printed.split()[-1]).name


def version_of(wheel: Path) -> str:
    """The version in a wheel's name."""
    return wheel.name.split("-")[1]
