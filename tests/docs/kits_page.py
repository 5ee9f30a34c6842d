"""docs/reference/kits.md: the kits' parameters, and what AWS must allow for the example of each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from agent.config.durations import format_duration
from agent.config.lines import find_lines
from agent.config.reference import table_of
from agent.config.resources import read_resource
from agent.config.values import Problems
from agent.core.ids import NodeId
from recovery_kits.contract import Permission
from recovery_kits.registry import BUILT_IN, kits

ROOT = Path(__file__).parents[2]
NODES = [NodeId("db-01"), NodeId("db-02")]
INTRODUCTION = """\
# The kits' parameters

Written from the code by `make reference`; a test compares the two.

They stand in the resource's own table, beside
[the keys that every resource has](toml.md#hierarchynameresourcetag). What each action does and when a check
fails is told on each kit's own page. The permissions are those of the kit's `example.toml`; `kage iam-policy`
prints exactly those of your own configuration. What differs between nodes is written per node:
`node.db-02.device = "ens6"`.
"""


def page() -> str:
    """The whole page, in the order of the kits' names."""
    return "\n".join([INTRODUCTION, *map(_section, sorted(BUILT_IN))])


def _section(kind: str) -> str:
    kit, folder = kits()[kind], kind.replace("-", "_")
    interval = format_duration(kit.default_check_interval_ms)
    lines = [
        f"## `{kind}`\n",
        f"{kit.summary[:1].upper()}{kit.summary[1:]}. `check_interval` is {interval} unless given.",
        f"More: [what it does](../../recovery_kits/{folder}/README.md),",
        f"[example](../../recovery_kits/{folder}/example.toml).\n",
        table_of(kit.Parameters),
        "",
    ]
    return "\n".join([*lines, *_permissions(kind, folder)])


def _permissions(kind: str, folder: str) -> Iterator[str]:
    """The rows of what its example needs, each once."""
    rows = {_row(each) for each in _needed(kind, ROOT / "recovery_kits" / folder / "example.toml")}
    if not rows:
        yield "It calls nothing of AWS.\n"
        return
    yield "| AWS must allow | on | if |"
    yield "|---|---|---|"
    yield from sorted(rows)
    yield ""


def _needed(kind: str, example: Path) -> Iterator[Permission]:
    text = example.read_text()
    for hierarchy, tables in tomllib.loads(text)["hierarchy"].items():
        for tag, table in tables["resource"].items():
            if table["kit"] != kind:
                continue
            where = ("hierarchy", hierarchy, "resource", tag)
            draft = read_resource(tag, table, where, NODES, kits(), Problems(find_lines(text)))
            for parameters in draft.parameters.values():
                yield from kits()[kind].permissions(parameters)


def _row(permission: Permission) -> str:
    conditions = [
        f"`{operator}` {key} = {value if isinstance(value, str) else ', '.join(value)}"
        for operator, test in permission.conditions.items()
        for key, value in test.items()
    ]
    cells = (
        ", ".join(f"`{action}`" for action in permission.actions),
        ", ".join(f"`{arn}`" for arn in permission.resources),
        "; ".join(conditions),
    )
    return f"| {' | '.join(cells)} |"
