"""`kage status` and `kage nodes`."""

from __future__ import annotations

import time
from argparse import Namespace

from agent.api.client import AgentClient
from agent.api.errors import ApiError
from agent.api.mirrors import MirrorReport
from agent.api.reports import StatusReport
from agent.cli import exits
from agent.cli.output import complain, print_json
from agent.cli.remarks import lacks_copies
from agent.cli.screen import Cell, Line, Page, Screen, drawing
from agent.cli.status_view import nodes_page, status_page

REFRESH_S = 0.25


def show_status(options: Namespace) -> int:
    """The cluster as this node sees it, once or until Ctrl-C."""
    client, screen = AgentClient(options.socket), Screen.of_stdout()
    if options.watch:
        return _watch(client, screen, json=options.json)
    report = client.status()
    if options.json:
        print_json(report)
    else:
        screen.show(status_page(report, terminal=screen.terminal, mirrors=_incomplete(client, report)))
    return exits.OK


def _incomplete(client: AgentClient, report: StatusReport) -> list[MirrorReport]:
    """How far copies are; nodes are asked only where one isn't whole."""
    if not any(lacks_copies(hierarchy) for hierarchy in report.hierarchies):
        return []
    try:
        return client.mirrors()
    except ApiError:  # the status says that they aren't whole; `kage mirror status` says why it can't tell
        return []


def show_nodes(options: Namespace) -> int:
    """All that is known of nodes and comm paths."""
    report, screen = AgentClient(options.socket).status(), Screen.of_stdout()
    if options.json:
        print_json(report.nodes)
    else:
        screen.show(nodes_page(report, terminal=screen.terminal))
    return exits.OK


def _watch(client: AgentClient, screen: Screen, *, json: bool) -> int:
    if json or not screen.terminal:
        complain("status --watch draws on a terminal", "scripts may run `kage status --json` again and again")
        return exits.USAGE
    from rich.live import Live  # noqa: PLC0415 (only where something is drawn)

    client.status()  # fails at once if there is no agent; one that goes away later is waited for
    try:
        with Live(console=screen.console(), screen=True, auto_refresh=False) as live:
            while True:
                live.update(drawing(_look(client)), refresh=True)
                time.sleep(REFRESH_S)
    except KeyboardInterrupt:
        return exits.OK


def _look(client: AgentClient) -> Page:
    try:
        report = client.status()
        return status_page(report, terminal=True, mirrors=_incomplete(client, report))
    except ApiError as exc:
        return [Line((Cell(exc.text, "bold red"),)), Line((Cell(f"hint: {exc.hint}"),))]
