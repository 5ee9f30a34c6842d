"""Whether a running agent may take over a new configuration, and if not, why."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from agent.config.model import Config
from agent.core.ids import HierarchyId, NodeId, Tag

_RESTART = "restart the agent: applications keep running"
_TAKE_OUT = "take it out of service first"


def changes(old: Config, new: Config, in_service: Collection[Tag]) -> list[str]:
    """Why `new` can't replace `old` while the agent runs; empty when it may.

    `in_service` are the resources that may run on this node: what describes how to remove one of them
    must not change under it.
    """
    return [*_needs_restart(old, new), *_needs_removal(old, new, in_service)]


def _needs_restart(old: Config, new: Config) -> Iterator[str]:
    settings = (
        ("cluster.name", old.cluster.name, new.cluster.name),
        ("the nodes", sorted(old.cluster.nodes), sorted(new.cluster.nodes)),
        ("the comm paths", old.paths, new.paths),
        ("cluster.key_file", old.key_file, new.key_file),
        ("the heartbeat", old.cluster.heartbeat, new.cluster.heartbeat),
        ("cluster.quorum", old.cluster.quorum, new.cluster.quorum),
        ("[aws]", old.aws, new.aws),  # calls under way would lose their session, and look like failures
    )
    for what, before, after in settings:
        if before != after:
            yield f"{what} changed; {_RESTART}"


def _needs_removal(old: Config, new: Config, in_service: Collection[Tag]) -> Iterator[str]:
    home, new_home = _homes(old), _homes(new)
    for tag in sorted(in_service):
        if tag not in home:
            continue
        if tag not in new_home:
            yield f"{tag} is in service, and the new configuration hasn't got it; {_TAKE_OUT}"
        elif new_home[tag] != home[tag]:
            yield f"{tag} is in service, and moves from hierarchy {home[tag]} to {new_home[tag]}; {_TAKE_OUT}"
        elif new.resources[tag].kit != old.resources[tag].kit:
            yield f"{tag} is in service, and its kit changed; {_TAKE_OUT}"
        else:
            yield from _parameter_changes(tag, old, new)


def _parameter_changes(tag: Tag, old: Config, new: Config) -> Iterator[str]:
    after = new.resources[tag].parameters
    changed: list[NodeId] = []
    for node, parameters in old.resources[tag].parameters.items():
        if node not in after:
            yield f"{tag} is in service, and {node} may no longer run it; {_TAKE_OUT}"
        elif after[node] != parameters:
            changed.append(node)
    if changed:
        yield f"{tag} is in service, and its parameters changed on {', '.join(changed)}; {_TAKE_OUT}"


def _homes(config: Config) -> dict[Tag, HierarchyId]:
    return {resource.tag: each.name for each in config.cluster.hierarchies for resource in each.resources}
