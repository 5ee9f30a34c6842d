"""Figures for Prometheus, in its text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats).

Keeps: what is unknown has no sample, rather than a zero; each node tells what it sees itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from agent.api.lookup import is_in_service
from agent.api.mirrors import LEG_STATES, LegDetails, MirrorReport
from agent.api.reports import HierarchyView, NodeView, StatusReport

PREFIX = "kagemusha_"
STANDINGS = ("alive", "lost", "left", "never-heard")
RESOURCE_STATES = ("ISP", "ISU", "OSU", "OSF", "unknown")


class Metric(NamedTuple):
    """What a family of samples is, in words; docs/metrics.md says the same."""

    type: str  # "gauge" | "counter"
    help: str


METRICS = {
    "agent_info": Metric("gauge", "1; the agent that answers: its version and its configuration's digest."),
    "warnings": Metric("gauge", "Warnings in kage status."),
    "peer_standing": Metric("gauge", "1 for what a peer is to this node: alive, lost, left, never-heard."),
    "peer_config_same": Metric("gauge", "1 if a peer runs with the same configuration as this node."),
    "path_up": Metric("gauge", "1 while a comm path to a peer is up."),
    "path_rtt_seconds": Metric("gauge", "Round-trip time of the newest answered heartbeat on a comm path."),
    "path_loss_ratio": Metric("gauge", "Lost heartbeats among the last hundred on a comm path, 0 to 1."),
    "heartbeats_sent_total": Metric("counter", "Heartbeats sent since the agent started."),
    "heartbeats_heard_total": Metric("counter", "Heartbeats heard that counted, since the agent started."),
    "dropped_total": Metric("counter", "Datagrams, frames and messages dropped since the agent started."),
    "arbiter_trouble": Metric("gauge", "1 while the arbiter's vote can't be had."),
    "hierarchy_owner": Metric("gauge", "1 for the node that owns a hierarchy, 0 for the others."),
    "hierarchy_in_service": Metric("gauge", "1 while all of a hierarchy runs on its owner."),
    "hierarchy_held": Metric("gauge", "1 while an operator holds a hierarchy out of service."),
    "hierarchy_term": Metric("gauge", "A hierarchy's term: it grows with each change of the owner."),
    "hierarchy_eligible": Metric("gauge", "1 for each node that could run a hierarchy now."),
    "resource_state": Metric("gauge", "1 for a resource's state on a node: ISP, ISU, OSU, OSF, unknown."),
    "mirror_in_sync": Metric("gauge", "1 for each node whose copy holds every acknowledged write."),
    "mirror_size_bytes": Metric("gauge", "Size of a mirror; on the source."),
    "mirror_leg_state": Metric("gauge", "1 for the state of a target's copy; on the source."),
    "mirror_leg_copied_ratio": Metric(
        "gauge", "How much of the copy under way is done, 0 to 1; on the source."
    ),
    "mirror_leg_left_bytes": Metric("gauge", "What is left of the copy under way; on the source."),
    "mirror_leg_rate_bytes_per_second": Metric("gauge", "How fast the copy under way is; on the source."),
    "mirror_leg_lag_bytes": Metric("gauge", "What a target's copy lacks; on the source."),
    "mirror_leg_lag_seconds": Metric(
        "gauge", "For how long a target's copy hasn't been whole, or how far it is behind; on the source."
    ),
    "mirror_leg_stalled_seconds": Metric(
        "gauge", "For how long writes have waited for a target; on the source."
    ),
    "mirror_leg_answer_seconds": Metric(
        "gauge", "How long a target takes for an answer, on average of the last seconds; on the source."
    ),
}


class Sample(NamedTuple):
    """One value of one family, told from others of it by its labels."""

    name: str  # a key of METRICS
    labels: dict[str, str]
    value: float


def metrics(status: StatusReport, mirrors: Iterable[MirrorReport]) -> str:
    """All there is to tell; families without a sample are left out."""
    found = dict[str, list[Sample]]()
    for sample in samples(status, mirrors):
        found.setdefault(sample.name, []).append(sample)
    lines = []
    for name, metric in METRICS.items():
        if name in found:
            lines += [f"# HELP {PREFIX}{name} {metric.help}", f"# TYPE {PREFIX}{name} {metric.type}"]
            lines += [_line(sample) for sample in found[name]]
    return "\n".join(lines) + "\n"


def samples(status: StatusReport, mirrors: Iterable[MirrorReport]) -> Iterator[Sample]:
    """Every value, family by family or not."""
    about = {"cluster": status.cluster, "node": status.node, "quorum": status.quorum}
    yield Sample("agent_info", {**about, "version": status.version, "config_digest": status.config_digest}, 1)
    yield Sample("warnings", {}, len(status.warnings))
    yield Sample("heartbeats_sent_total", {}, status.counters.heartbeats_sent)
    yield Sample("heartbeats_heard_total", {}, status.counters.heartbeats_heard)
    for reason, count in status.counters.dropped.items():
        yield Sample("dropped_total", {"reason": reason}, count)
    if status.arbiter is not None:
        yield Sample("arbiter_trouble", {"kind": status.arbiter.kind}, bool(status.arbiter.trouble))
    for node in status.nodes:
        if node.standing != "self":
            yield from _peer(node, status.config_digest)
    for hierarchy in status.hierarchies:
        yield from _hierarchy(hierarchy)
    for mirror in mirrors:
        yield from _mirror(mirror, status.node)


def _peer(peer: NodeView, digest: str) -> Iterator[Sample]:
    for standing in STANDINGS:
        yield Sample("peer_standing", {"peer": peer.name, "standing": standing}, standing == peer.standing)
    if peer.config_digest:
        yield Sample("peer_config_same", {"peer": peer.name}, peer.config_digest == digest)
    for path in peer.paths:
        labels = {"peer": peer.name, "path": path.name}
        yield Sample("path_up", labels, path.state == "up")
        if path.rtt_ms is not None:
            yield Sample("path_rtt_seconds", labels, path.rtt_ms / 1_000)
        if path.loss_percent is not None:
            yield Sample("path_loss_ratio", labels, path.loss_percent / 100)


def _hierarchy(view: HierarchyView) -> Iterator[Sample]:
    of = {"hierarchy": view.name}
    yield Sample("hierarchy_in_service", of, is_in_service(view))
    yield Sample("hierarchy_held", of, view.held)
    yield Sample("hierarchy_term", of, view.term)
    for node, on in view.nodes.items():
        yield Sample("hierarchy_owner", {**of, "node": node}, node == view.owner)
        yield Sample("hierarchy_eligible", {**of, "node": node}, on.eligible)
    for resource in view.resources:
        for node, there in resource.nodes.items():
            labels = {**of, "resource": resource.tag, "node": node}
            for state in RESOURCE_STATES:
                yield Sample("resource_state", {**labels, "state": state}, state == there.state)


def _mirror(mirror: MirrorReport, me: str) -> Iterator[Sample]:
    of = {"hierarchy": mirror.hierarchy, "resource": mirror.tag}
    for node, on in mirror.nodes.items():
        yield Sample("mirror_in_sync", {**of, "node": node}, on.in_sync)
    details = mirror.nodes[me].details if me in mirror.nodes else None
    if details is None or details.role != "source":
        return
    if details.size_bytes is not None:
        yield Sample("mirror_size_bytes", of, details.size_bytes)
    for leg in details.legs:
        yield from _leg(leg, {**of, "target": leg.node})


def _leg(leg: LegDetails, labels: dict[str, str]) -> Iterator[Sample]:
    for state in LEG_STATES:
        yield Sample("mirror_leg_state", {**labels, "state": state}, state == leg.state)
    yield Sample("mirror_leg_stalled_seconds", labels, leg.stalled_ms / 1_000)
    known = {
        "mirror_leg_answer_seconds": None if leg.answer_ms is None else leg.answer_ms / 1_000,
        "mirror_leg_copied_ratio": None if leg.percent is None else leg.percent / 100,
        "mirror_leg_left_bytes": leg.bytes_left,
        "mirror_leg_rate_bytes_per_second": leg.rate_bytes_per_s,
        "mirror_leg_lag_bytes": leg.lacks_bytes,
        "mirror_leg_lag_seconds": (leg.lag_s or 0) if leg.state == "in-sync" else leg.lag_s,
    }
    for name, value in known.items():
        if value is not None:
            yield Sample(name, labels, value)


def _line(sample: Sample) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
    return f"{PREFIX}{sample.name}{'{' + labels + '}' if labels else ''} {float(sample.value):.15g}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
