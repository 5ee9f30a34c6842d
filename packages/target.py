"""For which machine a package is, and what dpkg and rpm call that."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

ROOT = Path(__file__).parents[1]
LIMIT_S = 600  # for each command that builds; the slowest fetches 30 MB of wheels
DEBIAN_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """One machine's kind: compiled libraries are for one Python and one processor."""

    python: str  # "3.11"
    machine: str  # "x86_64", as uname and rpm call it

    @property
    def release(self) -> str:
        """What tells packages of one version apart; a newer Python's is an upgrade of an older one's."""
        return f"1+py{self.python}"

    @property
    def debian_machine(self) -> str:
        return DEBIAN_MACHINES[self.machine]


def native_version(version: str) -> str:
    """A Python version as dpkg and rpm sort it: "0.2.0rc1" is "0.2.0~rc1", before "0.2.0".

    Two tildes come before one, as .dev releases come before alphas. Source: PEP 440; deb-version(7).
    """
    parsed = Version(version)
    native = f"{parsed.epoch}:" if parsed.epoch else ""
    native += ".".join(str(part) for part in parsed.release)
    if parsed.pre is not None:
        native += "~" + "".join(str(part) for part in parsed.pre)
    if parsed.post is not None:
        native += f".post{parsed.post}"
    if parsed.dev is not None:
        native += f"~dev{parsed.dev}" if parsed.pre or parsed.post is not None else f"~~dev{parsed.dev}"
    return native + (f"+{parsed.local}" if parsed.local else "")


def call(*argv: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT) -> str:
    """Run one tool to its end and return what it printed; a failure ends the build with what it said."""
    done = subprocess.run(
        [str(word) for word in argv],
        env=env,
        cwd=cwd,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"packages: {argv[0]} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout
