"""What would keep a script from running, or let somebody else put words into the agent's mouth."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from recovery_kits.contract import Finding


def script_findings(script: Path) -> list[Finding]:
    """What is wrong with a script; touches the disk, so not for the event loop."""
    try:
        status = script.stat()
    except OSError as problem:
        remedy = "put it on every node's own disk: the service's filesystem is mounted on one only"
        return [Finding(f"{script}: {problem.strerror}", remedy)]
    if not stat.S_ISREG(status.st_mode):
        return [Finding(f"{script} is not a file", "name the script itself")]
    findings = _writers(script)
    if not os.access(script, os.X_OK):
        findings.append(Finding(f"{script} is not executable", f"chmod +x {script}"))
    return findings + _interpreter(script)


def _interpreter(script: Path) -> list[Finding]:
    try:
        with script.open("rb") as file:
            first = file.readline(256)
    except OSError as problem:
        return [Finding(f"{script} can't be read: {problem.strerror}", f"chmod u+r {script}")]
    if first.startswith(b"\x7fELF"):
        return []
    if not first.startswith(b"#!"):
        return [Finding(f"{script} doesn't say what runs it", "begin it with a line such as #!/bin/sh")]
    if first.endswith(b"\r\n"):
        return [Finding(f"{script} has DOS line ends", f"sed -i 's/\\r$//' {script}")]
    words = first[2:].split()
    if not words or not Path(os.fsdecode(words[0])).exists():
        named = os.fsdecode(b" ".join(words))
        return [Finding(f"{script} is run by {named!r}, which doesn't exist", "correct its first line")]
    return []


def _writers(script: Path) -> list[Finding]:
    """Whoever can write to the script, or replace it, acts with the agent's rights."""
    findings = []
    for path in (script.resolve(), *script.resolve().parents):
        status = path.stat()
        if status.st_uid not in {0, os.geteuid()}:
            findings.append(Finding(f"{path} belongs to user {status.st_uid}", f"chown root {path}"))
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX  # /tmp: not others' files
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
            findings.append(Finding(f"{path} can be written to by others", f"chmod go-w {path}"))
    return findings
