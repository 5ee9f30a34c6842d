"""`python -m packages --out dist`: the wheel, the Debian package and the RPM of this source tree."""

from __future__ import annotations

import argparse
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from packages import audit
from packages.deb import build_deb
from packages.papers import write_checksums, write_sbom
from packages.rpm import build_rpm
from packages.target import DEBIAN_MACHINES, ROOT, Target, call
from packages.tree import stage
from packages.wheel import build_sdist, build_wheel, source_date_epoch, version_of

TOOLS = {"dpkg-deb": "dpkg", "rpmbuild": "rpm"}


def main(argv: Sequence[str]) -> None:
    """Build what the options ask for and name each file made."""
    options = _options().parse_args(argv)
    if missing := [package for tool, package in TOOLS.items() if shutil.which(tool) is None]:
        raise SystemExit(f"packages: install {' and '.join(missing)} first (make setup does, as root)")
    if options.release:
        _may_be_released()
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    epoch = source_date_epoch()
    wheel = build_wheel(out, epoch)
    targets = [Target(python=options.python, machine=machine) for machine in options.machine]
    made = {wheel}
    for target in targets:
        made |= _native(wheel, target, epoch, out, with_sbom=options.release)
    if options.release:
        made.add(build_sdist(out, epoch))
        made.add(write_checksums(sorted(made), out))
    sys.stdout.writelines(f"{path}\n" for path in sorted(made))


def _native(wheel: Path, target: Target, epoch: str, out: Path, *, with_sbom: bool) -> set[Path]:
    version = version_of(wheel)
    with TemporaryDirectory(prefix="kagemusha-tree-") as made:
        tree = Path(made)
        stage(tree, wheel, target, epoch)
        files = {build(tree, version, target, epoch, out) for build in (build_deb, build_rpm)}
        return files | {write_sbom(tree, version, epoch, out)} if with_sbom else files


def _may_be_released() -> None:
    if changed := call("git", "status", "--porcelain"):
        raise SystemExit(f"packages: a release is of a commit, and these files are of none:\n{changed}")
    if audit.main([]) != 0:
        raise SystemExit("packages: nothing is released before its audit has passed")


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m packages", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where to (dist)")
    parser.add_argument(
        "--python",
        default=f"{sys.version_info.major}.{sys.version_info.minor}",
        help="the target's Python, which is needed here too (%(default)s)",
    )
    parser.add_argument("--machine", nargs="+", default=[platform.machine()], choices=DEBIAN_MACHINES)
    parser.add_argument(
        "--release", action="store_true", help="audit first; add the sdist, an SBOM and SHA256SUMS"
    )
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
