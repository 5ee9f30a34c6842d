"""`kage status` and `kage nodes` as pages. Says what the report says, in LifeKeeper's words and colours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from agent.api.mirrors import MirrorReport
from agent.api.reports import (
    HierarchyView,
    NodeView,
    PathView,
    ResourceOnNode,
    ResourceView,
    StatusReport,
)
from agent.cli.remarks import left_running, remarks
from agent.cli.screen import Cell, Grid, Line, Page

STATE_STYLES = {"ISP": "green", "ISU": "yellow", "OSU": "dim", "OSF": "bold red"}
UNSURE = "magenta"
ICONS = {"up": ("●", "green"), "warning": ("▲", "yellow"), "dead": ("✖", "red"), "down": ("✖", "red")}
DOING = {
    "restore": "restoring…",
    "remove": "removing…",
    "force-remove": "forcing out…",
    "recover": "recovering…",
}  # quick-check isn't shown: it goes on all the time
STANDINGS = {
    "self": "this node",
    "alive": "alive",
    "lost": "lost",
    "left": "left in good order",
    "never-heard": "never heard",
}
PHASES = {
    "running": "in service on",
    "starting": "starting on",
    "stopping": "stopping on",
    "stuck": "stuck on",
    "probing": "being looked for on",
    "stopped": "to be started on",
}


def status_page(report: StatusReport, *, terminal: bool, mirrors: Sequence[MirrorReport] = ()) -> Page:
    """The whole of `kage status`."""
    page: list[Grid | Line] = [_header(report), *_warnings(report), Line(), _comm(report, terminal=terminal)]
    for hierarchy in report.hierarchies:
        page += [Line(), _headline(hierarchy), _tree(hierarchy, terminal=terminal)]
        page += [Line((cell,), indent=2) for cell in remarks(hierarchy, report.node, mirrors)]
    if not report.hierarchies:
        page += [Line(), Line((Cell("no hierarchies are configured", "dim"),))]
    return page


def nodes_page(report: StatusReport, *, terminal: bool) -> Page:
    """The whole of `kage nodes`: status's table of nodes with all that is known of them and their paths."""
    nodes = [_title("NODE", "COMM", "STANDING", "VERSION", "CONFIG", "KEYS")]
    sealing = {node.keys[0] for node in report.nodes if node.keys}
    for node in report.nodes:
        same = node.config_digest in {"", report.config_digest}
        nodes.append(
            (
                _with_icon(node.name, node.comm, terminal=terminal),
                Cell(node.comm, ICONS.get(node.comm, ("", UNSURE))[1]),
                Cell(STANDINGS.get(node.standing, node.standing) + (", witness" if node.witness else "")),
                Cell(node.version or "-"),
                Cell(node.config_digest or "-", "" if same else "yellow"),
                Cell(", ".join(node.keys) or "-", "yellow" if len(sealing) > 1 else ""),
            )
        )
    paths = [_title("TO", "PATH", "STATE", "RTT", "LOSS", "PRIORITY", "LOCAL", "REMOTE")]
    for node in report.nodes:
        for path in node.paths:
            priority = Cell(str(path.priority))
            ends = Cell(path.local), Cell(path.remote)
            paths.append((Cell(node.name), *_path(path, terminal=terminal), priority, *ends))
    return [Grid(nodes), Line(), Grid(paths), Line(), Line((Cell(_counted(report), "dim"),))]


def summary(hierarchy: HierarchyView) -> str:
    """Where it is: "in service on db-01"."""
    owner = hierarchy.owner
    if owner is None:
        return "held out of service by an operator" if hierarchy.held else "not in service"
    if failure(hierarchy):
        return f"failed on {owner}"
    if left_running(hierarchy):
        return f"left running on {owner}, whose agent was stopped"
    phase = hierarchy.nodes[owner].phase if owner in hierarchy.nodes else "unknown"
    return f"{PHASES[phase]} {owner}" if phase in PHASES else f"owned by {owner}, which is not heard"


def failure(hierarchy: HierarchyView) -> str:
    """What failed where it should run, with nothing in progress to mend it; empty if nothing did."""
    owner = hierarchy.owner
    if owner is None or owner not in hierarchy.nodes or doing(hierarchy):
        return ""
    if hierarchy.nodes[owner].phase not in {"starting", "running"}:
        return ""
    states = ((resource.tag, resource.nodes.get(owner)) for resource in reversed(hierarchy.resources))
    failed = (f"{tag} failed on {owner}: {on.why or '?'}" for tag, on in states if on and on.state == "OSF")
    return next(failed, "")


def doing(hierarchy: HierarchyView) -> str:
    """What is in progress, e.g. "db-02: restoring… cyde_5_0"; empty if nothing is."""
    return ", ".join(
        f"{node}: {DOING[on.action]} {resource.tag}"
        for resource in reversed(hierarchy.resources)
        for node, on in resource.nodes.items()
        if on.action in DOING
    )


def _header(report: StatusReport) -> Line:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.time))
    facts = f"seen from {report.node} at {at}, quorum {report.quorum}"
    if report.quorum == "majority":
        voters = [node.name for node in report.nodes] + (["arbiter"] if report.arbiter else [])
        facts += f" ({', '.join(voters)})"
    return Line((Cell(report.cluster, "bold"), Cell(f"  {facts}")))


def _warnings(report: StatusReport) -> list[Line]:
    return [Line((Cell(f"warning: {text}", "yellow"),)) for text in report.warnings]


def _comm(report: StatusReport, *, terminal: bool) -> Grid:
    rows = [_title("NODE", "COMM", "PATH", "STATE", "RTT", "LOSS")]
    for node in report.nodes:
        first = (_with_icon(node.name, node.comm, terminal=terminal), _standing(node))
        paths = [_path(path, terminal=terminal) for path in node.paths] or [()]
        rows += [(*first, *path) if not at else (Cell(""), Cell(""), *path) for at, path in enumerate(paths)]
    return Grid(rows)


def _standing(node: NodeView) -> Cell:
    """The comm state, and the standing where it says more."""
    style = ICONS.get(node.comm, ("", UNSURE))[1]
    witness = ", witness" if node.witness else ""
    if node.standing == "self" and node.comm == "up":
        return Cell("this node" + witness)
    extra = "" if node.standing == "alive" else f", {STANDINGS.get(node.standing, node.standing)}"
    return Cell(node.comm + extra + witness, style)


def _path(path: PathView, *, terminal: bool) -> tuple[Cell, ...]:
    style = ICONS.get(path.state, ("", UNSURE))[1]
    rtt = "-" if path.rtt_ms is None else f"{path.rtt_ms:.1f} ms"
    loss = "-" if path.loss_percent is None else f"{path.loss_percent:.0f} %"
    state = _with_icon(path.state, path.state, terminal=terminal)
    return (
        Cell(path.name),
        Cell(state.text, style),
        Cell(rtt),
        Cell(loss, "yellow" if path.loss_percent else ""),
    )


def _with_icon(text: str, state: str, *, terminal: bool) -> Cell:
    icon, style = ICONS.get(state, ("?", UNSURE))
    return Cell(f"{icon} {text}" if terminal else text, style if terminal else "")


def _headline(hierarchy: HierarchyView) -> Line:
    where = summary(hierarchy)
    style = "green" if where.startswith("in service") else "bold red" if failure(hierarchy) else "yellow"
    rest = f"  switchback {hierarchy.switchback}, term {hierarchy.term}"
    return Line((Cell(hierarchy.name, "bold"), Cell(f"  {where}", style), Cell(rest, "dim")))


def _tree(hierarchy: HierarchyView, *, terminal: bool) -> Grid:
    rows = [_title("RESOURCE", *(f"{name} ({on.priority})" for name, on in hierarchy.nodes.items()))]
    for branch, resource, again in walk(hierarchy, terminal=terminal):
        if again:
            rows.append((Cell(f"{branch}{resource.tag} (above)", "dim"),))
            continue
        states = (_state(resource.nodes.get(name)) for name in hierarchy.nodes)
        rows.append((Cell(branch + resource.tag), *states))
    return Grid(rows, indent=2)


def walk(hierarchy: HierarchyView, *, terminal: bool) -> Iterator[tuple[str, ResourceView, bool]]:
    """The tree from the top, parents first: its branch, the resource, and whether it was shown before.

    A resource that several others depend on is shown with its own children once.
    """
    views = {resource.tag: resource for resource in hierarchy.resources}
    children = {tag for view in views.values() for tag in view.depends_on}
    shown: set[str] = set()
    tops = [tag for tag in views if tag not in children]
    waiting = [(tag, "", "") for tag in reversed(tops)]  # tag, its own branch, what its children begin with
    while waiting:
        tag, branch, below = waiting.pop()
        yield branch, views[tag], tag in shown
        if tag in shown:
            continue
        shown.add(tag)
        inner = [child for child in views[tag].depends_on if child in views]
        for at, child in reversed(list(enumerate(inner, 1))):
            last = at == len(inner)
            elbow, stem = ("└─ " if last else "├─ ", "   " if last else "│  ") if terminal else ("  ", "  ")
            waiting.append((child, below + elbow, below + stem))


def _state(on: ResourceOnNode | None) -> Cell:
    if on is None:
        return Cell("-", "dim")
    action = f" {DOING[on.action]}" if on.action in DOING else ""
    return Cell(on.state + action, "cyan" if action else STATE_STYLES.get(on.state, UNSURE))


def _counted(report: StatusReport) -> str:
    counters = report.counters
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(counters.dropped.items()) if count)
    sent, heard = counters.heartbeats_sent, counters.heartbeats_heard
    return f"heartbeats: {sent} sent, {heard} heard; dropped: {dropped or 'none'}"


def _title(*names: str) -> tuple[Cell, ...]:
    return tuple(Cell(name, "dim") for name in names)
