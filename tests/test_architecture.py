"""The house's arrows point down: read from the source by `ast`, and proven to be able to fail."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("agent", "recovery_kits")

# What a module of a part may import of the project besides its own part; `recovery_kits.contract` is
# the house's as much as the core is, the kits themselves are for the registry to find.
MAY_IMPORT = {
    "agent.core": (),
    "agent.config": ("agent.core", "recovery_kits.contract", "recovery_kits.registry"),
    "agent.comm": ("agent.core", "agent.config"),
    "agent.arbiters": ("agent.core", "agent.config", "agent.aws", "recovery_kits.contract"),
    "agent.fencing": ("agent.core", "agent.config", "agent.aws", "recovery_kits.contract"),
    "agent.aws": ("agent.core", "recovery_kits.contract"),
    "agent.notify": (
        "agent.core",
        "agent.config",
        "agent.aws",
        "agent.fencing.process",
        "recovery_kits.contract",
        "recovery_kits.blocking",
    ),
    "recovery_kits": ("agent.core", "agent.config.errors", "agent.aws"),
    "agent.runtime": (
        "agent.core",
        "agent.config",
        "agent.comm",
        "agent.arbiters",
        "agent.fencing",
        "agent.notify",
        "agent.aws",
        "recovery_kits",
    ),
    "agent.doctor": (
        "agent.core",
        "agent.config",
        "agent.arbiters",
        "agent.fencing",
        "agent.notify",
        "agent.aws",
        "recovery_kits",
    ),
    "agent.api": ("agent.core", "agent.config", "agent.comm", "agent.aws", "agent.runtime", "recovery_kits"),
    "agent.cli": ("agent", "recovery_kits"),
}
# fmt: off
IMPURE = frozenset({
    "asyncio", "datetime", "logging", "multiprocessing", "os", "pathlib", "queue", "random", "secrets",
    "select", "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time",
    "uuid",
})
# fmt: on


@dataclass(frozen=True)
class Import:
    """One module imports another, or a name from it."""

    importer: str
    target: str

    def __str__(self) -> str:
        return f"{self.importer} imports {self.target}"


def modules(root: Path) -> dict[str, Path]:
    """Every module of the project by its dotted name."""
    found = dict[str, Path]()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> list[Import]:
    """Every import, wherever it stands, except those for type checkers alone."""
    known = modules(root)
    return [Import(name, target) for name, path in known.items() for target in _targets(name, path, known)]


def _targets(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in _walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            for alias in node.names:
                yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in known else base


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _walk(node)


def within(module: str, part: str) -> bool:
    return module == part or module.startswith(part + ".")


def part_of(module: str) -> str | None:
    return next((part for part in MAY_IMPORT if within(module, part)), None)


def impure(found: list[Import]) -> list[str]:
    """What the core imports besides itself and the pure part of the standard library."""
    pure = sys.stdlib_module_names - IMPURE
    return [
        str(each)
        for each in found
        if within(each.importer, "agent.core")
        and not within(each.target, "agent.core")
        and each.target.partition(".")[0] not in pure
    ]


def upward(found: list[Import]) -> list[str]:
    """Imports against the arrows."""
    wrong = []
    for each in found:
        if each.target.partition(".")[0] not in PACKAGES:
            continue
        part = part_of(each.importer)
        if part is None:
            if each.importer not in PACKAGES:
                wrong.append(f"{each.importer} belongs to no part")
        elif (
            not any(within(each.target, may) for may in (part, *MAY_IMPORT[part])) and each.target != "agent"
        ):
            wrong.append(str(each))
    return wrong


def circle(found: list[Import]) -> list[str]:
    """One circle of modules, if there is any."""
    graph = dict[str, set[str]]()
    for each in found:
        if each.target.partition(".")[0] in PACKAGES and each.target != each.importer:
            graph.setdefault(each.importer, set()).add(each.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def kits_by_name(found: list[Import], kits: set[str]) -> list[str]:
    """Who, of those that must not know which kits there are, imports one."""
    ignorant = ("agent.core", "agent.config", "agent.comm")
    return [
        str(each)
        for each in found
        if any(within(each.importer, part) for part in ignorant)
        and any(within(each.target, kit) for kit in kits)
    ]


def kits(root: Path) -> set[str]:
    """The kits' modules, by their entry points."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    points: dict[str, str] = project["entry-points"]["kagemusha.recovery_kits"]
    return {target.partition(":")[0] for target in points.values()}


@pytest.fixture(scope="module")
def house() -> list[Import]:
    return imports(ROOT)


def test_the_core_is_pure(house: list[Import]) -> None:
    assert impure(house) == []


def test_arrows_point_down(house: list[Import]) -> None:
    assert upward(house) == []


def test_no_modules_import_each_other_in_a_circle(house: list[Import]) -> None:
    assert circle(house) == []


def test_core_config_and_comm_know_no_kit_by_name(house: list[Import]) -> None:
    assert kits(ROOT)
    assert kits_by_name(house, kits(ROOT)) == []


def test_there_is_something_to_look_at(house: list[Import]) -> None:
    assert Import("agent.core.node", "agent.core.mind") in house
    assert len({each.importer for each in house}) > 20


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small house in which everything is in order."""
    sources = {
        "agent/__init__.py": "",
        "agent/core/__init__.py": "",
        "agent/core/node.py": "import dataclasses\nfrom agent.core import ids\n",
        "agent/core/ids.py": "",
        "agent/comm/__init__.py": "from agent.core.ids import x\n",
        "agent/config/__init__.py": "",
        "agent/runtime/__init__.py": "import asyncio\nimport agent.comm\n",
        "agent/cli/__init__.py": "import agent.runtime\n",
        "recovery_kits/__init__.py": "",
        "recovery_kits/ip.py": "from agent.core import ids\n",
    }
    for name, source in sources.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    found = imports(tmp_path)
    assert not impure(found) + upward(found) + circle(found) + kits_by_name(found, {"recovery_kits.ip"})
    return tmp_path


@pytest.mark.parametrize(
    "source", ["import random", "from time import monotonic", "import boto3", "import os.path"]
)
def test_an_impure_core_is_found(tree: Path, source: str) -> None:
    (tree / "agent/core/ids.py").write_text(f"def f():\n    {source}\n")
    assert len(impure(imports(tree))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("agent/core/ids.py", "import agent.comm"),
        ("agent/comm/__init__.py", "from agent import runtime"),
        ("agent/comm/__init__.py", "from ..runtime import x"),
        ("agent/runtime/__init__.py", "import agent.cli"),
        ("recovery_kits/ip.py", "from agent.runtime import x"),
        ("agent/new/__init__.py", "import agent.core"),
    ],
)
def test_an_arrow_that_points_up_is_found(tree: Path, module: str, source: str) -> None:
    (tree / module).parent.mkdir(exist_ok=True)
    (tree / module).write_text(source)
    assert len(upward(imports(tree))) == 1


def test_a_circle_is_found_and_named(tree: Path) -> None:
    (tree / "agent/core/ids.py").write_text("from agent.core.node import y\n")
    assert set(circle(imports(tree))) == {"agent.core.ids", "agent.core.node"}


def test_an_import_for_type_checkers_makes_no_circle(tree: Path) -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from agent.core.node import y\n"
    (tree / "agent/core/ids.py").write_text(source)
    assert circle(imports(tree)) == []


def test_a_kit_known_by_name_is_found(tree: Path) -> None:
    (tree / "agent/config/__init__.py").write_text("from recovery_kits.ip import IpKit\n")
    assert kits_by_name(imports(tree), {"recovery_kits.ip"}) == ["agent.config imports recovery_kits.ip"]
