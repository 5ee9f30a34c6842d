"""The RPM of a staged tree, by rpmbuild."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from packages.target import Target, call, native_version

SCRIPTS = Path(__file__).parent / "scripts"
SPEC = """\
Name: kagemusha
Version: {version}
Release: {release}
Summary: High-availability cluster agent for AWS
License: Apache-2.0
# What the compiled wheels need they bring, but for glibc.
AutoReqProv: no
Requires: python{python}, glibc >= 2.28, iproute
Suggests: mdadm, nbdkit, fence-agents-aws, nftables

%description
Keeps a stateful application running on two or more EC2 instances: heartbeats over
at least two networks, hierarchies of resources that are started, checked, repaired
and stopped in order, and a virtual IP that clients reach by VPC routes.

It has a Python environment of its own under /opt/kagemusha.

%install
cp --archive {tree}/. %{{buildroot}}/

{scripts}
%files -f {files}
"""
# Owned by the distribution, or by nobody in particular.
SHARED = {
    *("usr", "usr/bin", "usr/lib", "usr/share", "usr/share/doc", "usr/lib/systemd", "usr/lib/systemd/system"),
    *("usr/lib/tmpfiles.d", "etc", "opt"),
}


def build_rpm(tree: Path, version: str, target: Target, epoch: str, out: Path) -> Path:
    """Make the package of `tree` in `out`."""
    native = native_version(version)
    with TemporaryDirectory(prefix="kagemusha-rpm-") as made:
        work = Path(made)
        (work / "files").write_text("\n".join(_files(tree)) + "\n")
        (work / "kagemusha.spec").write_text(
            SPEC.format(
                version=native,
                release=target.release,
                python=target.python,
                tree=tree,
                files=work / "files",
                scripts="\n".join(_scriptlets()),
            )
        )
        macros = {
            "_topdir": work,
            "_rpmdir": out.absolute(),
            "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
            "_dbpath": work / "db",
            "_buildhost": "kagemusha",
            "_build_id_links": "none",
            "_binary_payload": "w3.zstdio",
            "__os_install_post": "%{nil}",  # wheels stay as their makers built them
            "debug_package": "%{nil}",
            "use_source_date_epoch_as_buildtime": "1",
            "clamp_mtime_to_source_date_epoch": "1",
        }
        call(
            *("rpmbuild", "-bb", f"--target={target.machine}-linux"),
            *(f"--define={name} {value}" for name, value in macros.items()),
            work / "kagemusha.spec",
            env={**os.environ, "SOURCE_DATE_EPOCH": epoch},
        )
    return out / f"kagemusha-{native}-{target.release}.{target.machine}.rpm"


def _files(tree: Path) -> list[str]:
    lines = ["%defattr(-,root,root,-)"]
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree)
        if str(name) in SHARED:
            continue
        kind = "%dir " if path.is_dir() and not path.is_symlink() else ""
        lines.append(f'{kind}"/{name}"')
    return lines


def _scriptlets() -> list[str]:
    common = (SCRIPTS / "common.sh").read_text()
    return [
        f"%{script.name}\nset -e\n" + f"{common}\n{script.read_text()}".replace("%", "%%")
        for script in sorted((SCRIPTS / "rpm").iterdir())
    ]
