"""Parameters that may differ between nodes: a table's, with what its [… .node.NODE] says instead."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

from agent.config.lines import Where, show_key
from agent.config.reader import Table, parameters_of, read_known, refuse_unknown, subtables
from agent.config.values import Problems, did_you_mean, show
from agent.core.ids import NodeId

T = TypeVar("T")


def read_overrides(
    table: Table, where: Where, nodes: Collection[NodeId], whose: str, problems: Problems
) -> dict[str, Table]:
    """What `table` says of single nodes; `nodes` are those it may name, all those `whose` they are."""
    overrides = subtables(table, "node", "NODE", where, problems)
    for node in overrides:
        if node not in nodes:
            hint = did_you_mean(node, nodes) or f"; it runs on {', '.join(nodes)}"
            problems.add((*where, "node", node), f"no node of {whose} is called {show(node)}{hint}")
    return overrides


def read_for_nodes(
    cls: type[T],
    table: Table,
    overrides: dict[str, Table],
    where: Where,
    nodes: Iterable[NodeId],
    problems: Problems,
    *,
    common: Collection[str],
    own: Collection[str] = (),
) -> dict[NodeId, T]:
    """An instance of `cls` for each of the `nodes`, but for those whose parameters were refused.

    `common` keys of the table are the same on every node, and not of `cls`; `own` keys are each node's
    own by their nature: when one is missing, it is missing there.
    """
    for node, override in overrides.items():
        at = (*where, "node", node)
        refuse_unknown([key for key in override if key not in common], parameters_of(cls), at, problems)
        for key in override.keys() & set(common):
            problems.add((*at, key), f"is the same on every node: write it in [{show_key(where)}]")
    differs = {*own, *(key for override in overrides.values() for key in override)}
    read = {}
    for node in nodes:
        override = overrides.get(node, {})

        def locate(key: str, node: NodeId = node, override: Table = override) -> Where:
            here = key in override or (key in differs and key not in table)
            return (*where, "node", node, key) if here else (*where, key)

        read[node] = read_known(cls, {**table, **override}, locate, problems)
    return {node: parameters for node, parameters in read.items() if parameters is not None}
