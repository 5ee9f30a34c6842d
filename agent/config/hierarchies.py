"""Hierarchies and their dependencies: resources sorted children first, without a circle."""

from __future__ import annotations

import graphlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.config.lines import Where
from agent.config.model import ResourceSetup
from agent.config.reader import Table, parameters_of, read_known, read_one, refuse_unknown, subtables
from agent.config.resources import Kits, ResourceDraft, read_resource
from agent.config.tables import HierarchyTable, Name
from agent.config.values import Problems, convert, did_you_mean, show
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.model import Hierarchy


@dataclass(frozen=True)
class HierarchyDraft:
    """A hierarchy as far as it could be read."""

    name: str
    settings: HierarchyTable | None
    nodes: tuple[NodeId, ...]  # that may run it
    resources: Mapping[str, ResourceDraft]  # by tag, in the order of the file


def read_hierarchies(
    document: Table, nodes: list[NodeId], witnesses: Collection[str], kits: Kits, problems: Problems
) -> list[HierarchyDraft]:
    """Every [hierarchy.NAME], checked one by one and against each other."""
    tables = subtables(document, "hierarchy", "NAME", (), problems)
    drafts = [_read_hierarchy(name, table, nodes, kits, problems) for name, table in tables.items()]
    homes: dict[str, str] = {}  # tag -> hierarchy
    for draft in drafts:
        for tag, resource in draft.resources.items():
            home = homes.setdefault(tag, draft.name)
            if home != draft.name:
                problems.add(
                    resource.where,
                    f"hierarchy {show(home)} has a resource of this tag too: tags are unique in a cluster",
                )
    for draft in drafts:
        _check_witnesses(draft, witnesses, problems)
        _check_dependencies(draft, homes, problems)
        _check_circles(draft, problems)
    return drafts


def finish_hierarchy(draft: HierarchyDraft) -> Hierarchy:
    """The core's hierarchy, once nothing is wrong with it."""
    assert draft.settings is not None, draft.name
    return Hierarchy(
        name=HierarchyId(draft.name),
        resources=tuple(
            draft.resources[tag].resource() for tag in _sorter(draft.resources.values()).static_order()
        ),
        nodes=tuple(NodeId(node) for node in draft.settings.nodes),
        switchback=draft.settings.switchback,
        switchback_after_ms=draft.settings.switchback_after_ms,
        failure_timeout_ms=draft.settings.failure_timeout_ms,
        on_shutdown=draft.settings.on_shutdown,
        confirm=confirm.confirmation() if (confirm := draft.settings.confirm_failover) else None,
    )


def finish_setups(drafts: Iterable[HierarchyDraft]) -> dict[Tag, ResourceSetup]:
    """What the runtime needs of every resource, by tag."""
    return {Tag(tag): resource.setup() for draft in drafts for tag, resource in draft.resources.items()}


def notes(drafts: Iterable[HierarchyDraft]) -> Iterator[str]:
    """What is allowed but not wise, one sentence each."""
    for draft in drafts:
        for tag, resource in draft.resources.items():
            if resource.ignores_interval:
                yield f"{tag} has nothing to check it with, so its check_interval is ignored."


def _read_hierarchy(
    name: str, table: Table, nodes: list[NodeId], kits: Kits, problems: Problems
) -> HierarchyDraft:
    where: Where = ("hierarchy", name)
    convert(Name, name, where, problems)
    refuse_unknown(table, [*parameters_of(HierarchyTable), "resource"], where, problems)
    settings = read_known(HierarchyTable, table, lambda key: (*where, key), problems)
    own_nodes = read_one(HierarchyTable, "nodes", table, where, problems) or tuple(nodes)
    _check_nodes(own_nodes, nodes, (*where, "nodes"), problems)
    resources = subtables(table, "resource", "TAG", where, problems)
    if "resource" not in table:
        problems.add(where, f"has no resource; write a table [hierarchy.{name}.resource.TAG] for each")
    running = [node for node in nodes if node in own_nodes]
    return HierarchyDraft(
        name=name,
        settings=settings,
        nodes=tuple(running),
        resources={
            tag: read_resource(tag, resource, (*where, "resource", tag), running, kits, problems)
            for tag, resource in resources.items()
        },
    )


def _check_nodes(own_nodes: tuple[str, ...], nodes: list[NodeId], where: Where, problems: Problems) -> None:
    for position, node in enumerate(own_nodes):
        if node in own_nodes[:position]:
            problems.add((*where, position), f"{show(node)} is listed twice")
        elif nodes and node not in nodes:
            hint = did_you_mean(node, nodes) or f"; the comm paths name {', '.join(nodes)}"
            problems.add((*where, position), f"no node is called {show(node)}{hint}")


def _check_witnesses(draft: HierarchyDraft, witnesses: Collection[str], problems: Problems) -> None:
    for position, node in enumerate(draft.settings.nodes if draft.settings else ()):
        if node in witnesses:
            problems.add(
                ("hierarchy", draft.name, "nodes", position),
                f"{show(node)} is a witness, which runs nothing: leave it out here or in cluster.witnesses",
            )


def _check_dependencies(draft: HierarchyDraft, homes: Mapping[str, str], problems: Problems) -> None:
    for tag, resource in draft.resources.items():
        for position, child in enumerate(resource.depends_on):
            where = (*resource.where, "depends_on", position)
            if child in resource.depends_on[:position]:
                problems.add(where, f"{show(child)} is listed twice")
            elif child == tag:
                problems.add(where, f"{show(tag)} can't depend on itself")
            elif child in draft.resources:
                continue
            elif child in homes:
                problems.add(
                    where,
                    f"{show(child)} belongs to hierarchy {show(homes[child])}: a hierarchy moves as a whole, "
                    "so put both into one",
                )
            else:
                hint = did_you_mean(child, draft.resources)
                problems.add(where, f"no resource of this hierarchy has the tag {show(child)}{hint}")


def _check_circles(draft: HierarchyDraft, problems: Problems) -> None:
    """Report every circle, one after the other: what closed one is left out of the next search."""
    left = dict(draft.resources)
    while True:
        try:
            _sorter(left.values()).prepare()
        except graphlib.CycleError as error:
            circle = _from_first(list(reversed(error.args[1]))[:-1], list(left))
            problems.add(
                (*left[circle[0]].where, "depends_on"),
                f"a circle of dependencies: {' -> '.join([*circle, circle[0]])}; leave one of them out",
            )
            for tag in circle:
                del left[tag]
        else:
            return


def _from_first(circle: list[str], order: list[str]) -> list[str]:
    """The same circle, told from the tag that the file has first."""
    start = min(range(len(circle)), key=lambda i: order.index(circle[i]))
    return circle[start:] + circle[:start]


def _sorter(resources: Iterable[ResourceDraft]) -> graphlib.TopologicalSorter[str]:
    """Sorts children first, otherwise in the order of the file; unknown children and itself left out."""
    by_tag = {resource.tag: resource for resource in resources}
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter(dict.fromkeys(by_tag, ()))
    for tag, resource in by_tag.items():
        sorter.add(tag, *(child for child in resource.depends_on if child in by_tag and child != tag))
    return sorter
