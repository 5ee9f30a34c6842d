"""`kage events`."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Sequence

from agent.api.client import AgentClient
from agent.api.contract import LARGEST_LIMIT
from agent.api.errors import Unreachable
from agent.api.reports import EventView
from agent.cli import exits
from agent.cli.output import complain, print_json, print_json_line
from agent.cli.screen import Cell, Line, Page, Screen

POLL_S = 0.5
STYLES = {"warning": "yellow", "alarm": "bold red"}


def show_events(options: Namespace) -> int:
    """The newest events, oldest first; with --follow the ones to come as well."""
    client, screen = AgentClient(options.socket), Screen.of_stdout()
    events = client.events(options.limit)
    if not options.follow and options.json:
        print_json(events)
        return exits.OK
    _print(events, screen, json=options.json)
    if options.follow:
        _follow(client, screen, after=events[-1].id if events else 0, json=options.json)
    return exits.OK


def events_page(events: Sequence[EventView]) -> Page:
    """One line for each event."""
    return [Line(_line(event)) for event in events]


def _line(event: EventView) -> tuple[Cell, ...]:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.time))
    style = STYLES.get(event.severity, "")
    subject = " ".join(part for part in (event.hierarchy, event.tag, event.peer) if part)
    took = "" if event.took_ms is None else f" ({event.took_ms} ms)"
    return (
        Cell(f"{at}.{int(event.time * 1000) % 1000:03d}  ", "dim"),
        Cell(f"{event.severity:<7}  ", style),
        Cell(f"{event.node}  "),
        Cell(f"{event.kind}  ", "bold"),
        Cell(f"{subject}: " if subject else ""),
        Cell(event.text, style),
        Cell(took, "dim"),
    )


def _follow(client: AgentClient, screen: Screen, after: int, *, json: bool) -> None:
    """Until Ctrl-C; an agent that goes away is waited for."""
    away = False
    while True:
        time.sleep(POLL_S)
        try:
            events = client.events(LARGEST_LIMIT, after)
        except Unreachable as exc:
            if not away:
                complain(f"{exc.text}; waiting for it", exc.hint)
            away = True
            continue
        away = False
        if events:
            _print(events, screen, json=json)
            after = events[-1].id


def _print(events: Sequence[EventView], screen: Screen, *, json: bool) -> None:
    if not json:
        screen.show(events_page(events))
        return
    for event in events:
        print_json_line(event)
