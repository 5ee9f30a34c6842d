"""`kage mirror status` as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.api.mirrors import LegDetails, MirrorOnNode, MirrorReport
from agent.cli.copying import progress
from agent.cli.screen import Cell, Grid, Line, Page
from agent.cli.sizes import show_bytes, show_seconds
from agent.cli.status_view import UNSURE

STATE_STYLES = {"in-sync": "green", "ok": "green", "copying": "cyan", "": "dim"}
LONG_STALL_MS = 1_000


def mirrors_page(mirrors: Sequence[MirrorReport]) -> Page:
    """Each mirror: where it is, a line for each node, what goes on, what isn't fine."""
    page: list[Grid | Line] = []
    for mirror in mirrors:
        page += [Line(), _headline(mirror), _copies(mirror)]
        page += [Line((cell,), indent=2) for cell in _going_on(mirror)]
        page += [Line((Cell(text, "yellow"),), indent=2) for text in mirror.remarks]
    return page[1:] or [Line((Cell("no replicated resources are configured", "dim"),))]


def _headline(mirror: MirrorReport) -> Line:
    if mirror.in_service:
        where = Cell(f"  in service on {mirror.owner}", "green")
    else:
        where = Cell(f"  owned by {mirror.owner}" if mirror.owner else "  not in service", "yellow")
    facts = [f"of {mirror.hierarchy}"]
    source = mirror.nodes.get(mirror.owner or "")
    if source is not None and (told := source.details) is not None:
        facts += [show_bytes(told.size_bytes)] if told.size_bytes is not None else []
        facts += [told.mode] if told.mode else []
        limit = told.resync_limit_bytes_per_s
        facts += [f"at most {show_bytes(limit)}/s are copied"] if limit else []
    return Line((Cell(mirror.tag, "bold"), where, Cell(f"  {', '.join(facts)}", "dim")))


def _copies(mirror: MirrorReport) -> Grid:
    rows = [[Cell(title, "dim") for title in ("NODE", "ROLE", "IN SYNC", "STATE", "LAG", "VIA")]]
    for node, on in mirror.nodes.items():
        leg = mirror.leg(node)
        in_sync = Cell("yes", "green") if on.in_sync else Cell("no", "yellow")
        role = on.details.role if on.details is not None else "-"
        rows.append(
            [
                Cell(node),
                Cell(role),
                in_sync,
                _state(on, leg),
                Cell(_lag(leg)),
                Cell((leg.address if leg else "") or "-"),
            ]
        )
    return Grid(rows, indent=2)


def _state(on: MirrorOnNode, leg: LegDetails | None) -> Cell:
    if leg is not None:
        stall = f", writes wait {leg.stalled_ms / 1_000:.1f} s" if leg.stalled_ms >= LONG_STALL_MS else ""
        return Cell(leg.state + stall, "bold red" if stall else STATE_STYLES.get(leg.state, "yellow"))
    if on.details is None:
        return Cell(on.trouble, UNSURE)
    disk = on.details.disk.state
    return Cell(f"disk {disk}" if disk else "-", STATE_STYLES.get(disk, "yellow"))


def _lag(leg: LegDetails | None) -> str:
    if leg is None or (leg.state == "in-sync" and not leg.lag_bytes):
        return "-"
    parts = [show_bytes(leg.lacks_bytes)] if leg.lacks_bytes is not None else []
    parts += [show_seconds(leg.lag_s)] if leg.lag_s is not None else []
    return ", ".join(parts) or "-"


def _going_on(mirror: MirrorReport) -> Iterator[Cell]:
    for node, on in mirror.nodes.items():
        if (leg := mirror.leg(node)) is not None:
            if text := progress(leg):
                yield Cell(f"{node}: {text}", "cyan")
            if (last := leg.last_resync) is not None:
                kind = "the union of changes" if last.kind == "union" else last.kind
                took = f"{show_bytes(last.bytes)} in {show_seconds(last.seconds)}"
                yield Cell(f"{node}: last copied {took} ({kind})", "dim")
        job = on.details.job if on.details is not None else None
        if job is not None and job.state != "failed":  # a failure is a remark
            percent = f" {job.percent:.0f} %" if job.percent is not None and job.state == "running" else ""
            text = f": {job.text}" if job.text else ""
            yield Cell(f"{job.verb} on {node}: {job.state}{percent}{text}", "dim")
