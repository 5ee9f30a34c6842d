"""What goes with a release's files: what they are made of (an SBOM), and what they hash to."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from packages.target import call
from packages.tree import HOME


def write_sbom(tree: Path, version: str, epoch: str, out: Path) -> Path:
    """CycloneDX of the environment that a package installs: each library, its licence, what needs it.

    It is read from what is staged rather than from the lock, which also names what other systems would need.
    """
    sbom = out / f"kagemusha-{version}.cdx.json"
    call(
        *(sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"),
        *("--output-file", sbom.absolute(), tree / HOME / "bin/python"),
        env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
    )
    document = json.loads(sbom.read_text())
    [itself] = [each for each in document["components"] if each["name"] == "kagemusha"]
    document["components"].remove(itself)
    document["metadata"]["component"] = {**itself, "type": "application"}
    sbom.write_text(json.dumps(document, indent=2) + "\n")
    return sbom


def write_checksums(files: Sequence[Path], out: Path) -> Path:
    """SHA256SUMS, for `sha256sum --check`."""
    sums = out / "SHA256SUMS"
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(files)]
    sums.write_text("".join(lines))
    return sums
