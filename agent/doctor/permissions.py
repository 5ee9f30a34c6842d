"""What AWS must allow the nodes' role for one configuration: every part of it is asked for its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.arbiters.opening import arbiter_permissions
from agent.config.model import Config
from agent.core.ids import NodeId
from agent.fencing.opening import level_permissions
from agent.notify.permissions import notice_permissions
from recovery_kits.contract import Permission
from recovery_kits.registry import kits

Part = Callable[[Config, NodeId | None], Iterator[Permission]]


def permissions(config: Config, node: NodeId | None) -> list[Permission]:
    """What one node needs; None: what every node needs, in one policy."""
    return [permission for part in PARTS for permission in part(config, node)]


def _kits(config: Config, node: NodeId | None) -> Iterator[Permission]:
    kinds = kits()
    for setup in config.resources.values():
        for who, parameters in setup.parameters.items():
            if node in (None, who):
                yield from kinds[setup.kit].permissions(parameters)


def _arbiter(config: Config, _node: NodeId | None) -> Iterator[Permission]:
    if config.arbiter is not None:
        hierarchies = (hierarchy.name for hierarchy in config.cluster.hierarchies)
        yield from arbiter_permissions(config.arbiter, config.cluster.name, hierarchies)


def _fencing(config: Config, node: NodeId | None) -> Iterator[Permission]:
    for level in config.fencing_levels:
        yield from level_permissions(level, node)


PARTS: tuple[Part, ...] = (_kits, _arbiter, _fencing, notice_permissions)
