"""What authority rests on: the votes, and what protects the cluster from a node that has lost them.

These keys of [cluster] are checked against the nodes, [arbiter] and [fencing]. Each is read alone, so
that this is done also where another key of the table was refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agent.config.durations import format_duration
from agent.config.fencing import FencingDraft
from agent.config.reader import Table, parameters_of, read_one
from agent.config.tables import ClusterTable
from agent.config.values import Problems, did_you_mean, show
from agent.config.watchdogs import SLACK_MS, WatchdogSetup, timeout_for
from agent.core.ids import NodeId, Tag
from agent.core.model import Cluster, Hierarchy
from agent.core.states import Fencing, OnAuthorityLost, Quorum

_INSTEAD = 'leave it out, or write quorum = "majority"'


@dataclass(frozen=True)
class AuthorityDraft:
    """Who votes, as far as it could be read."""

    quorum: Quorum | None  # None: refused
    witnesses: tuple[str, ...]


def read_authority(document: Table, nodes: list[NodeId], problems: Problems) -> AuthorityDraft:
    """The keys of [cluster] that say who votes, and what a node does that lost its majority."""
    table = document.get("cluster")
    if not isinstance(table, dict):
        return AuthorityDraft(None, ())
    draft = AuthorityDraft(_value("quorum", table, problems), _value("witnesses", table, problems) or ())
    _check_witnesses(draft.witnesses, nodes, problems)
    _check_stop(table, draft.quorum, problems)
    return draft


def check_votes(
    draft: AuthorityDraft, document: Table, nodes: list[NodeId], fencing: FencingDraft, problems: Problems
) -> None:
    """What [arbiter], the witnesses and [fencing] must be for that quorum."""
    arbiter = "arbiter" in document
    if draft.quorum is Quorum.MAJORITY and len(nodes) == 2 and not arbiter:
        problems.add(
            ("cluster", "quorum"),
            "there are two votes, so the loss of one node would stop everything: add an outside vote "
            '([arbiter]) or a third node that only votes (cluster.witnesses), or write quorum = "none"',
        )
    if draft.quorum is Quorum.NONE:
        if arbiter:
            problems.add(("arbiter",), f'with quorum = "none" it would never be asked: {_INSTEAD}')
        if draft.witnesses:
            problems.add(
                ("cluster", "witnesses"), f'with quorum = "none" no witness would ever be asked: {_INSTEAD}'
            )
        if fencing.required is False:
            problems.add(
                ("fencing", "required"),
                f'with quorum = "none" nothing else keeps two nodes from running the same: {_INSTEAD}',
            )


def notes(cluster: Cluster, watchdog: WatchdogSetup | None) -> Iterator[str]:
    """What is allowed but not wise, one sentence each."""
    if cluster.quorum is Quorum.NONE:
        then = (
            "each fences the other, and both may be stopped"
            if cluster.fencing is Fencing.REQUIRED
            else "each takes the other for lost and both may run the same hierarchy"
        )
        yield f'quorum = "none": when every comm path between two running nodes fails, {then}.'
        return
    if cluster.voters >= 4 and cluster.voters % 2 == 0:
        yield (
            f"{cluster.voters} votes bear the loss of {(cluster.voters - 1) // 2}, as {cluster.voters - 1} "
            "would: add one ([arbiter] or a witness), or take one away."
        )
    if cluster.fencing is not Fencing.REQUIRED:
        yield from _watchdog_notes(cluster, watchdog)
    yield from _harmless_notes(cluster)


def _value(key: str, table: Table, problems: Problems) -> Any:
    """One key of [cluster], its default when it is missing; None when it was refused."""
    if key not in table:
        return parameters_of(ClusterTable)[key].default
    return read_one(ClusterTable, key, table, ("cluster",), problems)


def _check_witnesses(witnesses: tuple[str, ...], nodes: list[NodeId], problems: Problems) -> None:
    for position, witness in enumerate(witnesses):
        where = ("cluster", "witnesses", position)
        if witness in witnesses[:position]:
            problems.add(where, f"{show(witness)} is listed twice")
        elif nodes and witness not in nodes:
            hint = did_you_mean(witness, nodes) or f"; they name {', '.join(nodes)}"
            problems.add(where, f"no comm path names {show(witness)}{hint}")


def _check_stop(table: Table, quorum: Quorum | None, problems: Problems) -> None:
    lost = _value("on_authority_lost", table, problems)
    given = "stop_within" in table
    if lost is OnAuthorityLost.STOP and quorum is Quorum.NONE:
        problems.add(
            ("cluster", "on_authority_lost"), f'with quorum = "none" no authority is ever lost: {_INSTEAD}'
        )
    elif lost is OnAuthorityLost.STOP and not given:
        problems.add(
            ("cluster", "stop_within"),
            'missing; on_authority_lost = "stop" needs the time that stopping may take, such as "30s"',
        )
    elif given and lost in (OnAuthorityLost.REBOOT, OnAuthorityLost.POWEROFF):
        problems.add(
            ("cluster", "stop_within"),
            f'on_authority_lost = {show(lost)} is done at once: leave it out, or write "stop" there',
        )


def _watchdog_notes(cluster: Cluster, watchdog: WatchdogSetup | None) -> Iterator[str]:
    authority_ms, margin_ms = cluster.heartbeat.dead_after_ms, cluster.margin_ms
    uncovered = "a kernel that hangs, or that stops every process of the agent's, isn't reset"  # see guard.py
    if timeout_for(authority_ms, margin_ms) is None:
        enough = format_duration(1_000 + SLACK_MS - margin_ms)
        yield (
            f"watchdogs count whole seconds, and none can reset a node within "
            f"{format_duration(authority_ms + margin_ms)}: {uncovered} when another node takes over; write "
            f'[fencing] with required = true, or a dead_after of at least "{enough}".'
        )
    elif watchdog is None:
        yield f"no [watchdog]: {uncovered} when another node takes over; write one (modprobe softdog)."


def _harmless_notes(cluster: Cluster) -> Iterator[str]:
    if cluster.on_authority_lost is OnAuthorityLost.POWEROFF and cluster.takeover_margin_ms < 1_000:
        yield (
            'on_authority_lost = "poweroff": devices are shut down first, for a second or more in which '
            'applications still run; write a longer takeover_margin, or "reboot".'
        )
    if cluster.on_authority_lost is not OnAuthorityLost.STOP:
        return
    for hierarchy in cluster.hierarchies:
        remove_ms = _remove_ms(hierarchy)
        if remove_ms > cluster.stop_within_ms:
            yield (
                f"{hierarchy.name} may take {format_duration(remove_ms)} to stop by its remove limits, more "
                f"than stop_within = {show(format_duration(cluster.stop_within_ms))}: a node that loses its "
                "majority would then reboot half-way."
            )


def _remove_ms(hierarchy: Hierarchy) -> int:
    """How long removing it may take: along the longest chain of dependencies."""
    so_far: dict[Tag, int] = {}  # of a resource and all below it
    for resource in hierarchy.resources:
        below = max((so_far[child] for child in resource.depends_on), default=0)
        so_far[resource.tag] = resource.limits.remove_ms + below
    return max(so_far.values(), default=0)
