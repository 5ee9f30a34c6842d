"""One resource: the keys that every resource has, and its kit's own parameters for each node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from agent.config.lines import Where
from agent.config.model import ResourceSetup
from agent.config.overrides import read_for_nodes, read_overrides
from agent.config.reader import Table, parameters_of, read_known, read_one, refuse_unknown
from agent.config.tables import Name, ResourceTable
from agent.config.values import Problems, convert, did_you_mean, show
from agent.core.ids import NodeId, Tag
from agent.core.model import Resource


class Kit(Protocol):
    """What configuration needs of a kit; those of `recovery_kits.contract` have it."""

    kind: ClassVar[str]
    summary: ClassVar[str]
    Parameters: ClassVar[type[Any]]
    default_check_interval_ms: ClassVar[int]
    reasserts: ClassVar[bool]
    replicated: ClassVar[bool]

    @classmethod
    def can_check(cls, parameters: Any) -> bool:
        """False where nothing can tell whether the resource is in service."""

    @classmethod
    def can_recover(cls, parameters: Any) -> bool:
        """False where nothing can repair the resource in place."""

    @classmethod
    def may_lose(cls, parameters: Any) -> str:
        """What a takeover from a lost owner may cost."""


Kits = Mapping[str, type[Kit]]
_COMMON = parameters_of(ResourceTable)


@dataclass(frozen=True)
class ResourceDraft:
    """A resource as far as it could be read."""

    tag: str
    where: Where
    settings: ResourceTable | None
    depends_on: tuple[str, ...]  # its children's tags as the file has them
    parameters: Mapping[NodeId, Any]
    default_check_interval_ms: int  # its kit's
    can_check: bool
    can_recover: bool
    reasserts: bool
    replicated: bool
    may_lose: str

    @property
    def ignores_interval(self) -> bool:
        """A check interval was asked for, but nothing can check it."""
        return (
            not self.can_check and self.settings is not None and self.settings.check_interval_ms is not None
        )

    def resource(self) -> Resource:
        """The core's resource, once nothing is wrong with it."""
        assert self.settings is not None, self.tag
        check_interval_ms = self.settings.check_interval_ms or self.default_check_interval_ms
        return Resource(
            tag=Tag(self.tag),
            kit=self.settings.kit,
            depends_on=tuple(Tag(child) for child in self.depends_on),
            limits=self.settings.core_limits(),
            check_interval_ms=check_interval_ms if self.can_check else 0,
            check_failures=self.settings.check_failures,
            local_recovery=self.settings.local_recovery and self.can_recover,
            max_recoveries=self.settings.max_recoveries,
            recovery_window_ms=self.settings.recovery_window_ms,
            failover=self.settings.failover,
            reasserts=self.reasserts,
            replicated=self.replicated,
            may_lose=self.may_lose,
        )

    def setup(self) -> ResourceSetup:
        """What the runtime needs of it."""
        assert self.settings is not None, self.tag
        return ResourceSetup(tag=Tag(self.tag), kit=self.settings.kit, parameters=self.parameters)


def read_resource(
    tag: str, table: Table, where: Where, nodes: list[NodeId], kits: Kits, problems: Problems
) -> ResourceDraft:
    """Read [hierarchy.H.resource.TAG], to be run by `nodes`."""
    convert(Name, tag, where, problems)
    settings = read_known(ResourceTable, table, lambda key: (*where, key), problems)
    kit = _kit_of(table, where, kits, problems)
    parameters: dict[NodeId, Any] = {}
    if kit is not None:
        own = parameters_of(kit.Parameters)
        for key in own.keys() & {*_COMMON, "node"}:
            problems.add((*where, "kit"), f"{kit.kind} can't be used: each resource has a key {key} already")
        refuse_unknown(table, [*_COMMON, *own, "node"], where, problems)
        overrides = read_overrides(table, where, nodes, "this hierarchy", problems)
        parameters = read_for_nodes(kit.Parameters, table, overrides, where, nodes, problems, common=_COMMON)
    depends_on = read_one(ResourceTable, "depends_on", table, where, problems) or ()
    return ResourceDraft(
        tag=tag,
        where=where,
        settings=settings,
        depends_on=depends_on,
        parameters=parameters,
        default_check_interval_ms=kit.default_check_interval_ms if kit else 0,
        can_check=kit is not None and all(map(kit.can_check, parameters.values())),
        can_recover=kit is not None and all(map(kit.can_recover, parameters.values())),
        reasserts=kit is not None and kit.reasserts,
        replicated=kit is not None and kit.replicated,
        may_lose=" or ".join(dict.fromkeys(map(kit.may_lose, parameters.values()))) if kit else "",
    )


def _kit_of(table: Table, where: Where, kits: Kits, problems: Problems) -> type[Kit] | None:
    kind = table.get("kit")
    if not isinstance(kind, str):
        return None  # reported with the table's other keys
    if kind not in kits:
        hint = did_you_mean(kind, kits) or f"; known: {', '.join(sorted(kits)) or 'none'}"
        problems.add((*where, "kit"), f"no kit is called {show(kind)}{hint}")
    return kits.get(kind)
