"""A release says what it is made of and what it hashes to, and is not made unaudited."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from packages import __main__ as builder
from packages import audit
from packages.papers import write_checksums, write_sbom
from packages.target import ROOT
from packages.wheel import version_of
from tests.packaging.conftest import Built


def test_the_sbom_names_each_library_that_a_node_gets_in_the_version_of_the_lock(
    built: Built, tmp_path: Path
) -> None:
    version = version_of(built.wheel)
    document = json.loads(write_sbom(built.tree, version, built.epoch, tmp_path).read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["version"] == version
    named = {(canonicalize_name(each["name"]), each["version"]) for each in document["components"]}
    there = {
        (canonicalize_name(each.name.split("-")[0]), each.name.removesuffix(".dist-info").split("-")[1])
        for each in built.tree.glob("opt/kagemusha/lib/*/site-packages/*.dist-info")
        if not each.name.startswith("kagemusha-")
    }
    lock = (ROOT / "requirements/runtime.lock").read_text()
    assert named == there
    assert named <= set(re.findall(r"^([\w.-]+)==([^ ;]+)", lock, re.MULTILINE))
    assert "boto3" in {each["name"] for each in document["components"] if each["licenses"]}


def test_the_checksums_are_what_sha256sum_takes(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    sums = write_checksums([tmp_path / "b", tmp_path / "a"], tmp_path)
    check = ["sha256sum", "--check", "--strict", str(sums)]
    subprocess.run(check, cwd=tmp_path, timeout=60, check=True, capture_output=True)
    (tmp_path / "a").write_text("another")
    assert subprocess.run(check, cwd=tmp_path, timeout=60, check=False, capture_output=True).returncode == 1


def test_an_audit_that_reaches_nobody_fails_loudly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens
    assert audit.main([]) == 3
    assert "NOT AUDITED" in capsys.readouterr().err
    assert audit.main(["--if-reachable"]) == 0
    assert "NOT AUDITED" in capsys.readouterr().err


@pytest.mark.parametrize(("found", "code"), [(0, 0), (1, 1)])
def test_an_audit_passes_when_nothing_is_known_and_only_then(
    monkeypatch: pytest.MonkeyPatch, found: int, code: int
) -> None:
    def pip_audit(*words: str) -> subprocess.CompletedProcess[str]:
        about_the_lock = str(audit.LOCK) in words
        assert ("--strict" in words) == about_the_lock  # a library that PyPI doesn't know is no pass
        said = "" if about_the_lock else "urllib3 1.24.1 PYSEC-2019-133 CVE-2019-11324"
        return subprocess.CompletedProcess(words, found if about_the_lock else 1, said, "")

    monkeypatch.setattr(audit, "_pip_audit", pip_audit)
    assert audit.main([]) == code


def test_nothing_is_released_that_is_unaudited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(builder, "call", lambda *_: "")
    monkeypatch.setattr(audit, "main", lambda _: 3)
    with pytest.raises(SystemExit, match="audit"):
        builder.main(["--release", "--out", str(tmp_path / "dist")])
    assert not (tmp_path / "dist").exists()


def test_nothing_is_released_that_is_not_committed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(builder, "call", lambda *_: " M README.md\n")
    with pytest.raises(SystemExit, match=r"README\.md"):
        builder.main(["--release", "--out", str(tmp_path / "dist")])
