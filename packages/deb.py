"""The Debian package of a staged tree, by dpkg-deb."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from packages.target import Target, call, native_version

SCRIPTS = Path(__file__).parent / "scripts"
CONTROL = """\
Package: kagemusha
Version: {version}
Architecture: {machine}
Maintainer: The Kagemusha authors <kagemusha@localhost>
Installed-Size: {size_kib}
Depends: python{python}, libc6 (>= 2.28), iproute2
Suggests: mdadm, nbdkit, fence-agents, nftables
Section: admin
Priority: optional
Description: high-availability cluster agent for AWS
 Keeps a stateful application running on two or more EC2 instances: heartbeats over
 at least two networks, hierarchies of resources that are started, checked, repaired
 and stopped in order, and a virtual IP that clients reach by VPC routes.
 .
 It has a Python environment of its own under /opt/kagemusha.
"""


def build_deb(tree: Path, version: str, target: Target, epoch: str, out: Path) -> Path:
    """Make the package of `tree` in `out`; the tree is as it was afterwards."""
    native = f"{native_version(version)}-{target.release}"
    package = out / f"kagemusha_{native}_{target.debian_machine}.deb"
    with TemporaryDirectory(prefix="kagemusha-deb-") as made:
        root = Path(made) / "root"
        shutil.copytree(tree, root, symlinks=True)
        control = root / "DEBIAN"
        control.mkdir(mode=0o755)
        (control / "control").write_text(
            CONTROL.format(
                version=native, machine=target.debian_machine, python=target.python, size_kib=_size_kib(tree)
            )
        )
        common = (SCRIPTS / "common.sh").read_text()
        for script in sorted((SCRIPTS / "deb").iterdir()):
            to = control / script.name
            to.write_text(f"#!/bin/sh\nset -e\n{common}\n{script.read_text()}")
            to.chmod(0o755)
        # zstd: as small as xz here (what is large is compressed already) and ten times as fast.
        call(
            *(
                "dpkg-deb",
                "--root-owner-group",
                "-Zzstd",
                "--threads-max=1",
                "--build",
                root,
                package.absolute(),
            ),
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        )
    return package


def _size_kib(tree: Path) -> int:
    return sum(-(-path.lstat().st_size // 1024) for path in tree.rglob("*"))
