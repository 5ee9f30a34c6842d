"""The wheel is the same wherever it is built, installs by itself, and is numbered by git's tags."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest

from packages.target import ROOT, native_version
from packages.wheel import build_sdist, build_wheel, source_date_epoch, version_of

LIMIT_S = 240


def git(*argv: str | Path, cwd: Path = ROOT) -> str:
    identity = (
        "-c",
        "user.name=Tester",
        "-c",
        "user.email=tester@localhost",
        "-c",
        "advice.detachedHead=false",
    )
    argv = ("git", *identity, *(str(word) for word in argv))
    return subprocess.run(argv, cwd=cwd, check=True, capture_output=True, text=True, timeout=LIMIT_S).stdout


def clone(to: Path, *options: str) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("this source tree is no clone")
    git("clone", "--quiet", "--no-tags", *options, ROOT.as_uri(), to)
    return to


def version_in(tree: Path) -> str:
    """What hatchling calls the source tree."""
    argv = [sys.executable, "-m", "hatchling", "version"]
    return subprocess.run(
        argv, cwd=tree, check=True, capture_output=True, text=True, timeout=LIMIT_S
    ).stdout.strip()


def test_two_clones_in_different_folders_build_the_same_bytes(tmp_path: Path) -> None:
    first, second = clone(tmp_path / "a"), clone(tmp_path / "elsewhere" / "b")
    for path in second.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000), follow_symlinks=False)
    (second / "agent").chmod(0o700)
    (second / "agent/cli/main.py").chmod(0o600)
    wheels = [
        build_wheel(tmp_path / f"out-{each.name}", source_date_epoch(each), each) for each in (first, second)
    ]
    assert wheels[0].name == wheels[1].name
    assert wheels[0].read_bytes() == wheels[1].read_bytes()


def test_a_tag_is_the_version_and_what_follows_it_leads_to_the_next(tmp_path: Path) -> None:
    tree = clone(tmp_path / "tree")
    git("tag", "v7.8.9", cwd=tree)
    assert version_in(tree) == "7.8.9"
    archive = tmp_path / "archive"
    archive.mkdir()
    git("archive", "--output", tmp_path / "archive.tar", "HEAD", cwd=tree)
    shutil.unpack_archive(tmp_path / "archive.tar", archive, filter="data")
    assert version_in(archive) == "7.8.9"
    sdist = build_sdist(tmp_path, source_date_epoch(tree), tree)
    shutil.unpack_archive(sdist, tmp_path / "sdist", filter="data")
    assert version_in(tmp_path / "sdist/kagemusha-7.8.9") == "7.8.9"
    git("commit", "--quiet", "--allow-empty", "--message", "On", cwd=tree)
    assert version_in(tree).startswith("7.8.10.dev1+g")


def test_a_shallow_clone_without_tags_has_a_version_before_every_release(tmp_path: Path) -> None:
    assert version_in(clone(tmp_path / "tree", "--depth=1")).startswith("0.1.dev1+g")


def test_a_tree_that_git_knows_nothing_of_has_one_too(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    assert version_in(tmp_path) == "0.0"


@pytest.mark.parametrize(
    ("python", "native"),
    [
        ("0.2.0", "0.2.0"),
        ("0.2.0rc1", "0.2.0~rc1"),
        ("0.2.0.dev5+gabc", "0.2.0~~dev5+gabc"),
        ("0.2.0a1.dev3", "0.2.0~a1~dev3"),
        ("1!2.0.post1", "1:2.0.post1"),
    ],
)
def test_a_version_in_the_distributions_words(python: str, native: str) -> None:
    assert native_version(python) == native


@pytest.mark.skipif(not (shutil.which("dpkg") and shutil.which("rpm")), reason="dpkg or rpm is missing")
def test_dpkg_and_rpm_sort_versions_as_python_does() -> None:
    rising = [
        *("0.1.dev300+g1", "0.1.0", "0.2.0.dev1", "0.2.0.dev12", "0.2.0a1.dev1", "0.2.0a1", "0.2.0b2"),
        *("0.2.0rc1", "0.2.0", "0.2.0.post1.dev1", "0.2.0.post1", "0.2.1.dev1+gabc", "0.2.1", "0.10.0"),
    ]
    natives = [native_version(each) for each in rising]
    for older, newer in pairwise(natives):
        subprocess.run(["dpkg", "--compare-versions", older, "lt", newer], check=True, timeout=LIMIT_S)
        # rpm's own comparison, in its Lua: -1 is older.
        asked = f'%{{lua:print(rpm.vercmp("{older}", "{newer}"))}}'
        done = subprocess.run(
            ["rpm", "--eval", asked], check=True, capture_output=True, text=True, timeout=LIMIT_S
        )
        assert done.stdout.strip() == "-1", (older, newer)


def test_the_wheel_alone_brings_a_kage_that_works(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "dist", source_date_epoch())
    home = tmp_path / "venv"
    # Its libraries are this environment's, so nothing is fetched; `kage` itself is the wheel's.
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", home],
        check=True,
        timeout=LIMIT_S,
        capture_output=True,
    )
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "--python",
            home,
            "install",
            "--quiet",
            "--no-deps",
            "--no-index",
            wheel,
        ],
        check=True,
        timeout=LIMIT_S,
        capture_output=True,
    )
    libraries = [each for each in sys.path if each.endswith("site-packages")]
    site = next(home.glob("lib/python*/site-packages"))
    (site / "zz.pth").write_text("\n".join(libraries))
    assert (site / "agent/cli/main.py").exists()

    def kage(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [home / "bin/kage", *argv],
            cwd=tmp_path,
            text=True,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )

    assert kage("--version").stdout == f"kage {version_of(wheel)}\n"
    assert "in-service" in kage("--help").stdout
    broken = tmp_path / "cluster.toml"
    broken.write_text("[cluster]\nnam = 'x'\n")
    told = kage("--config", str(broken), "check")
    assert told.returncode == 2
    assert "nam" in told.stderr + told.stdout


def test_a_wheel_holds_the_project_and_nothing_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(tmp_path, source_date_epoch())) as wheel:
        tops = {name.split("/")[0].rsplit("-", 1)[0] for name in wheel.namelist()}
    assert {each for each in tops if not each.startswith("kagemusha")} == {"agent", "recovery_kits"}
