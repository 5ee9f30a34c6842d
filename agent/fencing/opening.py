"""From the configuration to fencing levels that work, and to what AWS must allow for them."""

from __future__ import annotations

from collections.abc import Sequence

from agent.config.fencing import AgentLevel, Ec2Level, FencingLevel
from agent.core.ids import NodeId
from agent.fencing.cluster_labs import ClusterLabsFence
from agent.fencing.ec2 import Ec2Fence
from agent.fencing.levels import Level, Levels
from recovery_kits.contract import Ec2, Permission


def open_levels(levels: Sequence[FencingLevel], me: NodeId, ec2: Ec2) -> Levels:
    """The configured levels, as this node uses them against others."""
    return Levels(
        [Level(name=each.name, fence=open_fence(each, me, ec2), tries=each.tries) for each in levels]
    )


def open_fence(level: FencingLevel, me: NodeId, ec2: Ec2) -> Ec2Fence | ClusterLabsFence:
    """One level's means."""
    match level:
        case Ec2Level():
            return Ec2Fence(me, level.targets, ec2)
        case AgentLevel():
            return ClusterLabsFence(me, level.targets)


def level_permissions(level: FencingLevel, me: NodeId | None) -> tuple[Permission, ...]:
    """What AWS must allow `me` (None: every node) to fence the others by it."""
    match level:
        case Ec2Level():
            return Ec2Fence.permissions([target for node, target in level.targets.items() if node != me])
        case AgentLevel():
            return ()  # a fence agent has credentials of its own
