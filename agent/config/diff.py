"""Whether a running agent may take over a new configuration, and if not, why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from agent.config.model import Config
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.states import Quorum

_RESTART = "restart the agent: applications keep running"
_RESTART_ALL = (
    "nodes that differ in it could both have a majority: take every hierarchy out of service, then restart "
    "all agents"
)
_TAKE_OUT = "take it out of service first"


def changes(old: Config, new: Config, in_service: Collection[Tag]) -> list[str]:
    """Why `new` can't replace `old` while the agent runs; empty when it may.

    `in_service` are the resources that may run on this node: what describes how to remove one of them
    must not change under it.
    """
    return [*_needs_restart(old, new), *_needs_removal(old, new, in_service)]


def _needs_restart(old: Config, new: Config) -> Iterator[str]:
    by_vote = Quorum.MAJORITY in (old.cluster.quorum, new.cluster.quorum)
    settings, changed = _settings(old), _settings(new)
    for what, (value, agreed) in settings.items():
        if changed[what] != (value, agreed):
            yield f"{what} changed; {_RESTART_ALL if agreed and by_vote else _RESTART}"


def _settings(config: Config) -> Mapping[str, tuple[object, bool]]:
    """What an agent takes up once, and whether grants are safe only if all nodes hold it alike."""
    cluster = config.cluster
    return {
        "cluster.name": (cluster.name, False),
        "the nodes": (sorted(cluster.nodes), True),
        "the comm paths": (config.paths, False),
        "cluster.key_file": (config.key_file, False),
        "cluster.heartbeat_interval": (cluster.heartbeat.interval_ms, False),
        "cluster.dead_after": (cluster.heartbeat.dead_after_ms, True),
        "cluster.quorum": (cluster.quorum, True),
        "cluster.witnesses": (sorted(cluster.witnesses), False),  # their votes are those of nodes
        "[arbiter]": (config.arbiter, True),
        "cluster.takeover_margin": (cluster.takeover_margin_ms, True),
        "cluster.stop_within": (cluster.stop_within_ms, True),
        "cluster.on_authority_lost": (cluster.on_authority_lost, False),
        "[fencing]": ((cluster.fencing, config.fencing_levels), False),
        "[self_fence]": (config.self_fence.command, False),  # the guardian was told what to do
        "[watchdog]": (config.watchdog, False),
        "[aws]": (config.aws, False),  # calls under way would lose their session, and look like failures
    }


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
