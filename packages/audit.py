"""Are there known vulnerabilities in what a node gets? `python -m packages.audit` asks PyPI's advisories.

An audit that could ask nobody is a failure, not a pass: so it is first seen that a known hole is found.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from packages.target import ROOT

LIMIT_S = 300
LOCK = ROOT / "requirements/runtime.lock"
KNOWN_HOLE = "urllib3==1.24.1"  # CVE-2019-11324
# Advisories that don't concern the agent, each with the reason; there are none now.
IGNORED: dict[str, str] = {}


def main(argv: Sequence[str]) -> int:
    """0 nothing known; 1 something is; 3 nobody could be asked (0 with --if-reachable, and loud)."""
    parser = argparse.ArgumentParser(prog="python -m packages.audit", description=__doc__)
    parser.add_argument("--if-reachable", action="store_true", help="end well where the advisories aren't")
    options = parser.parse_args(argv)
    if not reachable():
        sys.stderr.write(
            "audit: NOT AUDITED: PyPI's advisories can't be reached from here.\n"
            "audit: run `make audit` where https://pypi.org/pypi/ answers; a release needs it.\n"
        )
        return 0 if options.if_reachable else 3
    done = _pip_audit("--strict", "--require-hashes", "--requirement", str(LOCK), *_ignored())
    sys.stdout.write(done.stdout + done.stderr)
    return 1 if done.returncode else 0


def reachable() -> bool:
    """Whether a version that is known to be vulnerable is found to be."""
    with TemporaryDirectory(prefix="kagemusha-audit-") as made:
        (hole := Path(made) / "hole.txt").write_text(KNOWN_HOLE)
        words = (
            "--no-deps",
            "--aliases",
            "--cache-dir",
            made,
            "--requirement",
            str(hole),
        )  # no old answer counts
        return "CVE-2019-11324" in _pip_audit(*words).stdout


def _ignored() -> list[str]:
    return [word for advisory in IGNORED for word in ("--ignore-vuln", advisory)]


def _pip_audit(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pip_audit",
            "--disable-pip",
            "--progress-spinner=off",
            "--timeout=15",
            *words,
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
