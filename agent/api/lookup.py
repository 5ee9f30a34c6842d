"""Finding what an operator named: people type a hierarchy's name or the tag of any resource in it."""

from __future__ import annotations

from agent.api.reports import HierarchyView, StatusReport


def find_hierarchy(status: StatusReport, name: str) -> HierarchyView | None:
    """The hierarchy of that name, or else the one that holds the resource of that tag."""
    for hierarchy in status.hierarchies:
        if hierarchy.name == name:
            return hierarchy
    return hierarchy_of_resource(status, name)


def hierarchy_of_resource(status: StatusReport, tag: str) -> HierarchyView | None:
    """The hierarchy that holds the resource of that tag."""
    for hierarchy in status.hierarchies:
        if any(resource.tag == tag for resource in hierarchy.resources):
            return hierarchy
    return None


def is_in_service(hierarchy: HierarchyView) -> bool:
    """Does all of it run on its owner, as far as is known?"""
    owner = hierarchy.owner or ""
    if owner not in hierarchy.nodes or hierarchy.nodes[owner].phase != "running":
        return False
    states = (each.nodes.get(owner) for each in hierarchy.resources)
    return all(on is not None and on.state in {"ISP", "ISU"} for on in states)
