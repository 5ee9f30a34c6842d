"""An authority that never ends sends nothing for a kit but dry runs: told from the kits' source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import recovery_kits

SOURCES = sorted(Path(recovery_kits.__file__).parent.rglob("*.py"))


def uses(source: str) -> Iterator[tuple[int, bool]]:
    """The line of each use of ALWAYS, and whether it is in a call that says DryRun=True itself."""
    tree = ast.parse(source)
    dry = {
        id(node)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and any(word.arg == "DryRun" and ast.unparse(word.value) == "True" for word in call.keywords)
        for node in ast.walk(call)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == "ALWAYS":
            yield node.lineno, id(node) in dry


def test_only_dry_runs_go_out_by_an_authority_that_never_ends() -> None:
    found = {
        (path.name, line): dry
        for path in SOURCES
        if path.name != "contract.py"  # which has it, and gives it to kits where no agent runs
        for line, dry in uses(path.read_text())
    }
    assert found
    assert [place for place, dry in found.items() if not dry] == []


def test_a_change_by_such_an_authority_would_be_seen() -> None:
    assert list(uses("ec2('attach_volume', authority=ALWAYS, DryRun=dry)")) == [(1, False)]
    assert list(uses("ec2('attach_volume', ALWAYS, DryRun=True)")) == [(1, True)]
