"""One build of the wheel and of the tree that both packages hold, for all tests; a root for each."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from packages.target import Target
from packages.tree import stage
from packages.wheel import build_wheel, source_date_epoch
from tests.packaging.scratch import ScratchRoot

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
Build = Callable[[Path, str, Target, str, Path], Path]


@dataclass(frozen=True)
class Built:
    """A staged tree and what packages are made of it with."""

    wheel: Path
    tree: Path
    target: Target
    epoch: str
    out: Path

    def package(self, build: Build, version: str) -> Path:
        """The tree as a package of that version."""
        return build(self.tree, version, self.target, self.epoch, self.out)

    def without_libraries(self) -> Built:
        """The same with an empty Python environment, for what doesn't run it."""
        tree = self.out / "bare"
        if not tree.exists():
            shutil.copytree(self.tree, tree, symlinks=True, ignore=shutil.ignore_patterns("site-packages"))
        return dataclasses.replace(self, tree=tree)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    if shutil.which("dpkg-deb") is None or shutil.which("rpmbuild") is None:
        pytest.skip("dpkg-deb or rpmbuild is missing (make setup installs them, as root)")
    out, tree = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("tree")
    epoch = source_date_epoch()
    wheel = build_wheel(out, epoch)
    target = Target(python=PYTHON, machine=platform.machine())
    stage(tree, wheel, target, epoch)
    return Built(wheel, tree, target, epoch, out)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[ScratchRoot]:
    if os.geteuid() != 0:
        pytest.skip("only root can install a package, into a scratch root too")
    if not Path(f"/usr/bin/python{PYTHON}").exists():
        pytest.skip(f"no /usr/bin/python{PYTHON}: the packages bring no interpreter")
    with ScratchRoot(tmp_path) as root:
        yield root
