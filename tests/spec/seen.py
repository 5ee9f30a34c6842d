"""What a world has shown, in the words tests ask for it."""

from __future__ import annotations

from agent.core.effects import Kind, Notice
from agent.core.ids import NodeId, Tag
from agent.core.states import Action, ResourceState
from tests.spec.reference import GROUPWARE, A
from tests.spec.world import World


def of_kind(world: World, kind: Kind, node: NodeId = A) -> list[Notice]:
    """A node's notices of one kind."""
    return [notice for _, teller, notice in world.notices if teller == node and notice.kind is kind]


def starts(world: World, action: Action, node: NodeId = A, tag: Tag | None = None) -> list[int]:
    """When a node started an action (of one resource)."""
    return [
        at
        for at, where, start in world.actions
        if where == node and start.action is action and tag in {None, start.tag}
    ]


def state(world: World, node: NodeId, tag: Tag) -> ResourceState:
    """How a node shows a resource of the reference hierarchy."""
    reports = world.node(node).mind.machines[GROUPWARE].reports()
    return next(each.state for each in reports if each.tag == tag)


def why_not(world: World, node: NodeId) -> str:
    """Why a node isn't fit to run the reference hierarchy."""
    return world.node(node).mind.why_not_fit(GROUPWARE, world.machines[node].clock(world.now))
