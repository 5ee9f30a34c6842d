"""The TOML reference (docs/reference/toml.md), made from the same types that read the file."""

from __future__ import annotations

from typing import Any

from agent.config.arbiter import ArbiterTable, DynamoDbParameters, S3Parameters
from agent.config.durations import format_duration
from agent.config.fencing import ClusterLabsTarget, Ec2Target, FencingTable, LevelTable
from agent.config.model import AwsSetup, SelfFenceTable
from agent.config.notify import KINDS as DESTINATIONS
from agent.config.notify import NotifyTable
from agent.config.reader import Parameter, inner_table, parameters_of
from agent.config.tables import (
    PRESETS,
    ClusterTable,
    ConfirmTable,
    HierarchyTable,
    LimitsTable,
    PathTable,
    ResourceTable,
)
from agent.config.values import Duration, expected, show, unwrap
from agent.config.watchdogs import WatchdogSetup

_INTRODUCTION = """\
# cluster.toml

Written from the code by `make reference`; a test compares the two.

One file describes the cluster; it is the same on every node. `kage check FILE` names everything that is
wrong with it, each with line and key. Durations are strings of a whole number and a unit: `ms`, `s`,
`min` or `h`. Names have at most 63 letters, digits, `-`, `_` and `.`. Paths are absolute.
"""

_PATH_NOTE = """\
Besides these keys it holds the address of each node: `db-01 = "10.0.3.4"`. The cluster's nodes are those
named here, and every comm path names every node. Use at least two, over networks that fail apart.
"""

_RESOURCE_NOTE = """\
The parameters of its kit ([kits.md](kits.md)) stand in the same table. Where they differ between nodes,
`[hierarchy.NAME.resource.TAG.node.NODE]` overrides them for one node.
"""

_LEVEL_NOTE = """\
The parameters of its kind stand in the same table. Where they differ between nodes,
`[fencing.level.NAME.node.NODE]` overrides them for one node, as in `node.db-01.instance = "i-…"`. Every node
that may run a hierarchy needs a target of its own.
"""

_NOTIFY_NOTE = """\
Any number of them; the parameters of its kind stand in the same table. What each does:
[notices.md](../notices.md).
"""


def reference() -> str:
    """The whole page, as Markdown; what the kits add is on a page of its own."""
    sections = [
        _INTRODUCTION,
        _section("[cluster]", ClusterTable),
        _presets(),
        _section("[comm_path.NAME]", PathTable, _PATH_NOTE),
        _section("[hierarchy.NAME]", HierarchyTable),
        _section("[hierarchy.NAME.confirm_failover]", ConfirmTable),
        _section("[hierarchy.NAME.resource.TAG]", ResourceTable, _RESOURCE_NOTE),
        _section("[hierarchy.NAME.resource.TAG.limits]", LimitsTable),
        _section("[aws]", AwsSetup),
        _section("[arbiter]", ArbiterTable),
        _section('kind = "dynamodb"', DynamoDbParameters, level="###"),
        _section('kind = "s3"', S3Parameters, level="###"),
        _section("[fencing]", FencingTable),
        _section("[fencing.level.NAME]", LevelTable, _LEVEL_NOTE),
        _section('kind = "ec2"', Ec2Target, level="###"),
        _section('kind = "agent"', ClusterLabsTarget, level="###"),
        _section("[watchdog]", WatchdogSetup),
        _section("[self_fence]", SelfFenceTable),
        _section("[notify.NAME]", NotifyTable, _NOTIFY_NOTE),
        *(_section(f'kind = "{kind}"', cls, level="###") for kind, cls in DESTINATIONS.items()),
    ]
    return "\n".join(sections)


def table_of(cls: type[Any]) -> str:
    """The table of all keys that a dataclass reads, as Markdown."""
    rows = [_row(parameter) for parameter in parameters_of(cls).values()]
    return "\n".join(["| key | write | default | |", "|---|---|---|---|", *rows])


def _section(title: str, cls: type[Any], note: str = "", level: str = "##") -> str:
    return "\n".join([f"{level} `{title}`\n", *([note] if note else []), table_of(cls), ""])


def _row(parameter: Parameter) -> str:
    cells = (f"`{parameter.key}`", _written(parameter), _default(parameter), parameter.description)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _written(parameter: Parameter) -> str:
    if inner_table(parameter.hint) is not None:
        return "a table"
    words = expected(parameter.hint)
    return words.partition(" such as ")[0] if unwrap(parameter.hint)[0] == (Duration,) else words


def _default(parameter: Parameter) -> str:
    if parameter.required:
        return "**required**"
    default = parameter.default
    if default is None or inner_table(parameter.hint) is not None:
        return ""
    if unwrap(parameter.hint)[0] == (Duration,):
        return f'`"{format_duration(default)}"`'
    return f"`{show(list(default) if isinstance(default, tuple) else default)}`"


def _presets() -> str:
    rows = [
        f"| `{name}` | {format_duration(beat.interval_ms)} | {format_duration(beat.dead_after_ms)} |"
        for name, beat in PRESETS.items()
    ]
    return "\n".join(["| preset | heartbeat_interval | dead_after |", "|---|---|---|", *rows, ""])
