"""What checkov finds in the modules is what they explain: no finding without its reason, nor the other way.

It runs on a copy without the exceptions (`# checkov:skip=CHECK:reason`, beside what they are about), and what
fails there is compared with them. checkov has an environment of its own, build/checkov, made from its lock.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.machines.machine import PROJECT
from tests.terraform import tool

LOCK = PROJECT / "requirements/checkov.lock"
PLACE = PROJECT / "build/checkov"
LIMIT_S = 500.0
RESOURCE = re.compile(r'^resource "(\w+)" "(\w+)" \{\n(.*?)^\}', re.MULTILINE | re.DOTALL)
EXCEPTION = re.compile(r"^ *# checkov:skip=(\w+):(.*)\n", re.MULTILINE)
Finding = tuple[str, str, str]  # check, file, resource


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(PLACE), "LOG_LEVEL": "ERROR"}
    return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@pytest.fixture(scope="module")
def checkov() -> str:
    """The program, of exactly the locked versions."""
    stamp, wanted = PLACE / "lock", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(PLACE, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(PLACE)], check=True, timeout=LIMIT_S)
        pip = [str(PLACE / "bin/python"), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        done = subprocess.run([*pip, "-r", str(LOCK)], capture_output=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2_000:]
        stamp.write_text(wanted)
    return str(PLACE / "bin/checkov")


def exceptions(root: Path) -> dict[Finding, str]:
    """Those in the code, each with its reason."""
    return {
        (check, f"/{file.relative_to(root)}", f"{kind}.{name}"): reason
        for file in root.rglob("*.tf")
        for kind, name, body in RESOURCE.findall(file.read_text())
        for check, reason in EXCEPTION.findall(body)
    }


def failed(checkov: str, root: Path) -> set[Finding]:
    """What fails there; several instances of one resource count once."""
    argv = ("-d", str(root), "--framework", "terraform", "--skip-download", "--compact", "--quiet")
    done = run(checkov, *argv, "--soft-fail", "--output", "json")
    assert done.returncode == 0, done.stderr[-2_000:]
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 100
    return {
        (each["check_id"], each["file_path"], _plain(each["resource"]))
        for each in report["results"]["failed_checks"]
    }


def _plain(resource: str) -> str:
    """aws_instance.this, of module.node["db-01"].aws_instance.this."""
    return ".".join(re.sub(r"\[[^]]*\]", "", resource).split(".")[-2:])


def test_every_finding_is_explained_and_every_explanation_needed(checkov: str, tmp_path: Path) -> None:
    root = tool.copy_modules(tmp_path)
    explained = exceptions(root)
    assert all(len(reason) > 20 for reason in explained.values())
    for file in root.rglob("*.tf"):
        file.write_text(EXCEPTION.sub("", file.read_text()))
    assert failed(checkov, root) == set(explained)
