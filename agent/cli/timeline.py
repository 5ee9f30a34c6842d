"""`kage timeline`: how failovers and moves went, each step as a bar."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence

from agent.api.client import AgentClient
from agent.api.reports import TimelineReport, TimelineStep
from agent.cli import exits
from agent.cli.output import print_json
from agent.cli.screen import Cell, Grid, Line, Page, Screen

WIDEST_NAME = 30
SMALLEST_BAR = 10


def show_timelines(options: Namespace) -> int:
    """The newest timelines, newest first."""
    timelines, screen = AgentClient(options.socket).timelines(options.last), Screen.of_stdout()
    if options.json:
        print_json(timelines)
    else:
        screen.show(timelines_page(timelines, width=screen.width, bar="█" if screen.terminal else "#"))
    return exits.OK


def timelines_page(timelines: Sequence[TimelineReport], *, width: int, bar: str) -> Page:
    """A heading and the bars of each."""
    page: list[Grid | Line] = []
    for timeline in timelines:
        page += [Line(), *_heading(timeline), _bars(timeline, width=width, bar=bar)]
    return page[1:] or [Line((Cell("nothing has failed over or moved yet", "dim"),))]


def _heading(timeline: TimelineReport) -> list[Line]:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(timeline.start_time))
    end = "in service after" if timeline.complete else "not in service after"
    style = "green" if timeline.complete else "bold red"
    where = f"{'on' if timeline.cause == 'start' else 'to'} {timeline.node}"
    title = f"{timeline.cause} of {timeline.hierarchy} {where}"
    total = f"{end} {timeline.total_ms} ms"
    lines = [Line((Cell(title, "bold"), Cell(f"  {at}  "), Cell(total, style)))]
    return [*lines, Line((Cell(timeline.why),), indent=2)] if timeline.why else lines


def _bars(timeline: TimelineReport, *, width: int, bar: str) -> Grid:
    steps = timeline.steps
    names = min(WIDEST_NAME, max((len(step.name) for step in steps), default=0))
    room = max(SMALLEST_BAR, width - names - len("100000 ms timed-out") - 8)
    whole_ms = max([timeline.total_ms, 1, *(step.start_ms + step.length_ms for step in steps)])
    return Grid([_row(step, room, whole_ms, bar) for step in steps], indent=2)


def _row(step: TimelineStep, room: int, whole_ms: int, bar: str) -> tuple[Cell, ...]:
    start = min(room - 1, step.start_ms * room // whole_ms)
    length = min(room - start, max(1, round(step.length_ms * room / whole_ms)))
    good = step.outcome == "ok"
    picture = (" " * start + bar * length).ljust(room)
    took = f"{step.length_ms:>6} ms" + ("" if good else f" {step.outcome}")
    return Cell(step.name), Cell(picture, "cyan" if good else "red"), Cell(took, "" if good else "red")
