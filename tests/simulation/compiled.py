"""`python -m tests.simulation.compiled …` is `python -m tests.simulation …`, core and world translated to C.

mypyc keeps Python's meaning and takes a third of the time. What it translates is a copy under build/:
everything else runs the core as it is written. The first seeds are lived both ways, and must come to the
same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
INTO = ROOT / "build/compiled"
PARTS = ("agent/__init__.py", "agent/core", "tests/__init__.py", "tests/simulation", "tests/spec")
COMPILE_LIMIT_S, LIVE_LIMIT_S = 900.0, 300.0
COMPARED = ("--seeds", "10", "--scale", "100", "--jobs", "1")
SETUP = """
from pathlib import Path
from mypyc.build import mypycify
from setuptools import setup
core = sorted(map(str, Path("agent/core").rglob("*.py")))
names = ("world", "machine", "network", "checkers", "lifeline", "kits", "mirror")  # each step's way
world = [f"tests/simulation/{name}.py" for name in names]
extensions = mypycify([*core, *world, "--ignore-missing-imports"], opt_level="3")
setup(name="core", packages=[], ext_modules=extensions)
"""


def main() -> None:
    """Become the simulation."""
    if shutil.which("gcc") is None:
        print("there is no gcc: it runs as it is written, which takes three times as long")
        os.execv(sys.executable, [sys.executable, "-m", "tests.simulation", *sys.argv[1:]])
    place = INTO / _digest()
    if not (place / "made").exists():
        _make(place)
    if (written := _lived(ROOT)) != (compiled := _lived(place)):
        sys.exit(f"what was translated lives other lives than what is written:\n{written}\n\n{compiled}")
    os.execve(sys.executable, _command(*sys.argv[1:]), _environment(place))


def _digest() -> str:
    """Of everything that is copied, and of what translates it."""
    paths = sorted(path for part in PARTS for path in _sources(ROOT / part))
    contents = b"".join(path.read_bytes() for path in paths)
    return hashlib.sha256(contents + sys.version.encode()).hexdigest()[:16]


def _sources(part: Path) -> list[Path]:
    return list(part.rglob("*.py")) if part.is_dir() else [part]


def _make(place: Path) -> None:
    """Copy and translate; `made` says that it came to its end."""
    shutil.rmtree(INTO, ignore_errors=True)
    for part in PARTS:
        for source in _sources(ROOT / part):
            copy = place / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    (place / "setup.py").write_text(SETUP)
    print("translating core and world to C: a minute", flush=True)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    made = subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False, timeout=COMPILE_LIMIT_S
    )
    if made.returncode:
        sys.exit(f"mypyc or gcc failed:\n{(made.stdout + made.stderr)[-4_000:]}")
    (place / "made").touch()


def _lived(place: Path) -> list[str]:
    """What the first seeds came to with the code of that place; without the time that it took."""
    lived = subprocess.run(
        _command(*COMPARED),
        env=_environment(place),
        capture_output=True,
        text=True,
        check=False,
        timeout=LIVE_LIMIT_S,
    )
    return [line for line in (lived.stdout + lived.stderr).splitlines() if "s of CPU" not in line]


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "tests.simulation", *arguments]  # -P: not this folder's core


def _environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(place)}


if __name__ == "__main__":
    main()
