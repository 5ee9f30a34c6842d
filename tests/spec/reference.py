"""The reference cluster of the documentation, as the core sees it, and worlds in which it has settled."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from agent.core.ids import HierarchyId, NodeId, PathId, Tag
from agent.core.messages import BringInService, Recover, TakeOutOfService
from agent.core.model import Cluster, CommPath, Hierarchy, Resource
from tests.spec.world import World

A, B, C = NodeId("db-01"), NodeId("db-02"), NodeId("db-03")
ENI_0, ENI_1 = PathId("eni-0"), PathId("eni-1")
GROUPWARE = HierarchyId("groupware")
FS, CYDE, CYSS, ROUTE, IP = (Tag(t) for t in ("fs-dir1", "cyde_5_0", "cyss_cbgrn", "route-vip", "ip-vip"))
CHAIN = (FS, CYDE, CYSS, ROUTE, IP)  # children first


def chain(*tags: Tag, **settings: Any) -> tuple[Resource, ...]:
    """Each resource depends on the one before it."""
    below = (None, *tags)
    return tuple(
        Resource(tag=tag, kit="generic", depends_on=(child,) if child else (), **settings)
        for tag, child in zip(tags, below, strict=False)
    )


def groupware(*, nodes: tuple[NodeId, ...] = (A, B), **settings: Any) -> Hierarchy:
    """The reference hierarchy."""
    resources = settings.pop("resources", chain(*CHAIN))
    return Hierarchy(name=GROUPWARE, resources=resources, nodes=nodes, **settings)


def with_resource(hierarchy: Hierarchy, tag: Tag, **settings: Any) -> Hierarchy:
    """The same, with other settings for one resource."""
    changed = tuple(replace(each, **settings) if each.tag == tag else each for each in hierarchy.resources)
    return replace(hierarchy, resources=changed)


def cluster(*hierarchies: Hierarchy, nodes: tuple[NodeId, ...] = (A, B), **settings: Any) -> Cluster:
    """The reference cluster; without hierarchies named, with the reference one."""
    return Cluster(
        name="garoon",
        nodes=nodes,
        paths=(CommPath(name=ENI_0, priority=1), CommPath(name=ENI_1, priority=2)),
        hierarchies=hierarchies or (groupware(nodes=nodes),),
        **settings,
    )


def running(*hierarchies: Hierarchy, **settings: Any) -> World:
    """A world whose nodes have started and whose hierarchies are in service."""
    may_part = settings.pop("may_part", False)
    world = World(cluster(*hierarchies, **settings), may_part=may_part)
    world.start()
    names = [each.name for each in world.cluster.hierarchies]
    assert world.run_until(lambda: all(world.in_service(name) for name in names), within_ms=5_000)
    world.run(1_000)
    return world


def bring(node: NodeId | None = None) -> BringInService:
    """`kage in-service groupware [node]`."""
    return BringInService(hierarchy=GROUPWARE, node=node)


def take_out() -> TakeOutOfService:
    """`kage out-of-service groupware`."""
    return TakeOutOfService(hierarchy=GROUPWARE)


def recover(tag: Tag = CYDE) -> Recover:
    """`kage recover TAG`."""
    return Recover(hierarchy=GROUPWARE, tag=tag)
