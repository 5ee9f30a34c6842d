"""Which notices a destination is for."""

from __future__ import annotations

from collections.abc import Mapping

from agent.config.model import Config
from agent.config.notify import NotifyTable
from agent.core.effects import Notice, Severity
from agent.core.ids import HierarchyId, Tag

_RANK = {severity: rank for rank, severity in enumerate((Severity.INFO, Severity.WARNING, Severity.ALARM))}


class Wants:
    """One destination's severity, kinds and hierarchies."""

    def __init__(self, table: NotifyTable, homes: Mapping[Tag, HierarchyId]) -> None:
        self._table, self._homes = table, homes

    def __call__(self, notice: Notice) -> bool:
        """Is it for this destination?"""
        table = self._table
        if _RANK[notice.severity] < _RANK[table.severity] or (
            table.notices and notice.kind not in table.notices
        ):
            return False
        hierarchy = notice.hierarchy or (self._homes.get(notice.tag) if notice.tag else None)
        return not table.hierarchies or hierarchy is None or hierarchy in table.hierarchies


def homes(config: Config) -> dict[Tag, HierarchyId]:
    """The hierarchy of each resource: some notices name the resource alone."""
    return {resource.tag: each.name for each in config.cluster.hierarchies for resource in each.resources}
