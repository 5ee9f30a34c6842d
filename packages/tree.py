"""The tree that both packages install, below one folder that stands for /.

- /opt/kagemusha is a virtual environment whose interpreter is the distribution's /usr/bin/pythonX.Y. It is
  filled for the target's processor, which need not be the building machine's, and nothing in it knows where
  it was built.
- What is there has fixed modes and times, so the packages depend on the commit and the lock alone.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from packages.target import ROOT, Target, call
from packages.wheel import version_of

HOME = Path("opt/kagemusha")
# Wheels for these run wherever glibc is 2.28 or newer: Debian 12, Ubuntu 24.04, Amazon Linux 2023, RHEL 9.
MANYLINUX = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux2010", "manylinux1")
UNITS = {".service", ".slice", ".target", ".socket", ".timer"}
# -I: neither the caller's PYTHON* variables nor his own site-packages reach the agent.
LAUNCHER = """\
#!/opt/kagemusha/bin/python -I
import sys

from agent.cli.main import main

sys.exit(main())
"""


def stage(root: Path, wheel: Path, target: Target, epoch: str) -> None:
    """Fill the empty folder `root` with everything that a package installs."""
    _environment(root / HOME, wheel, target)
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/kage").symlink_to("/opt/kagemusha/bin/kage")
    (root / "etc/kagemusha").mkdir(parents=True)
    _units(root / "usr/lib")
    _documents(root / "usr/share/doc/kagemusha")
    _compile(root, target)
    _settle(root, int(epoch))


def _environment(home: Path, wheel: Path, target: Target) -> None:
    """A virtual environment as `python -m venv` makes it, for a Python that need not be here."""
    packages = home / f"lib/python{target.python}/site-packages"
    packages.mkdir(parents=True)
    _install(packages, target, "--require-hashes", "--requirement", str(ROOT / "requirements/runtime.lock"))
    # From a folder and by version: a path would be written into the environment.
    ours = ("--no-index", "--find-links", str(wheel.parent.absolute()), f"kagemusha=={version_of(wheel)}")
    _install(packages, target, "--no-deps", *ours)
    (home / "pyvenv.cfg").write_text(
        "home = /usr/bin\n"
        "include-system-site-packages = false\n"
        f"executable = /usr/bin/python{target.python}\n"
    )
    (home / "lib64").symlink_to("lib")  # where Amazon Linux and its kin look for compiled modules
    (home / "bin").mkdir()
    for name in ("python", "python3", f"python{target.python}"):
        (home / "bin" / name).symlink_to(f"/usr/bin/python{target.python}" if name == "python" else "python")
    launcher = home / "bin/kage"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)


def _install(packages: Path, target: Target, *what: str) -> None:
    """Install for another Python than this one. Scripts that pip makes know this machine, and are dropped."""
    platforms = [f"--platform={each}_{target.machine}" for each in MANYLINUX]
    call(
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-compile"),
        *("--implementation=cp", f"--python-version={target.python}", *platforms, "--only-binary=:all:"),
        *(f"--target={packages}", *what),
    )
    if (packages / "bin").exists():
        shutil.rmtree(packages / "bin")


def _compile(root: Path, target: Target) -> None:
    """Bytecode that belongs to the package: nothing else is written below /opt/kagemusha, now or later.

    It isn't held against its source when it is loaded, so times don't matter. Needs the target's Python here.
    """
    python = shutil.which(f"python{target.python}")
    if python is None:
        raise SystemExit(f"packages: python{target.python} isn't on this machine to compile with; install it")
    how = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", root, "-p", "/")
    call(python, "-I", *how, root / HOME / "lib")


def _units(lib: Path) -> None:
    """What is below systemd/ by its kind: units, and the .conf files of tmpfiles.d."""
    for source in sorted((ROOT / "systemd").rglob("*")):
        if source.is_dir():
            continue
        if source.parent.suffix == ".d" and source.suffix == ".conf":
            to = lib / source.relative_to(ROOT / "systemd")
        elif source.parent.name == "systemd" and source.suffix in UNITS:
            to = lib / "systemd/system" / source.name
        else:
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, to)


def _documents(to: Path) -> None:
    to.mkdir(parents=True)
    for name in ("README.md", "CHANGELOG.md"):
        shutil.copyfile(ROOT / name, to / name)
    shutil.copyfile(ROOT / "LICENSE", to / "copyright")
    shutil.copytree(ROOT / "examples", to / "examples", ignore=shutil.ignore_patterns("__pycache__"))


def _settle(root: Path, epoch_s: int) -> None:
    """Modes and times that don't depend on who builds, where and when."""
    for path in sorted(root.rglob("*"), reverse=True):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runs else 0o644)
        os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)
    (root / "etc/kagemusha").chmod(0o700)  # the cluster's key is there
    root.chmod(0o755)
