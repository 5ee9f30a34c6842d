"""`kage leave`: before a machine stops, all that runs on it is handed over or stopped.

kagemusha-shutdown.service runs it when systemd shuts the machine down. The node takes nothing more until its
agent is restarted.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Collection

from agent.api.client import AgentClient
from agent.api.reports import HierarchyView, MoveReport, StatusReport
from agent.cli import exits
from agent.cli.output import Progress, complain, print_json
from agent.cli.status_view import doing, summary
from agent.cli.waiting import HOPELESS_AFTER_S, POLL_S


def leave(options: Namespace) -> int:
    """Begin it, watch until nothing runs here any more and others run what they took; the exit code."""
    client = AgentClient(options.socket)
    began = time.monotonic()
    before = client.status()
    mine = [each.name for each in before.hierarchies if each.owner == before.node]
    client.depart()
    progress = Progress(wanted=not options.json)
    try:
        left, waits = _watch(client, mine, options.timeout / 1_000, progress)
    finally:
        progress.clear()
    took_s = time.monotonic() - began
    text = "; ".join(f"{each.name} is {summary(each)}" for each in left.hierarchies) or "nothing to leave"
    if options.json:
        print_json(MoveReport(accepted=True, reached=not waits, text=text, took_ms=round(took_s * 1_000)))
    elif waits:
        complain(f"not left in time: {'; '.join(map(_now, waits))}", "`kage events` tells what happened")
    else:
        sys.stdout.write(f"{text}, after {took_s:.1f} s\n")
    return exits.TIMED_OUT if waits else exits.OK


def _watch(
    client: AgentClient, mine: Collection[str], limit_s: float, progress: Progress
) -> tuple[StatusReport, list[HierarchyView]]:
    """The last status, and what wasn't finished in time; what nobody takes isn't waited for."""
    until = time.monotonic() + limit_s
    nobodys_since: float | None = None
    while True:
        status, now = client.status(), time.monotonic()
        waits = _unfinished(status, mine)
        nobodys = all(each.owner is None and _stopped_here(status, each) for each in waits)
        nobodys_since = (nobodys_since or now) if nobodys else None
        given_up = nobodys_since is not None and now - nobodys_since >= HOPELESS_AFTER_S
        if not waits or given_up or now >= until:
            return status, [] if given_up else waits
        progress.tell(_now(waits[0]))
        time.sleep(POLL_S)


def _unfinished(status: StatusReport, mine: Collection[str]) -> list[HierarchyView]:
    """Those that still run here, and those on their way to where they will run."""
    return [
        each
        for each in status.hierarchies
        if not _stopped_here(status, each) or _on_its_way(status, each, mine)
    ]


def _stopped_here(status: StatusReport, hierarchy: HierarchyView) -> bool:
    on = hierarchy.nodes.get(status.node)
    return on is None or on.phase == "stopped"


def _on_its_way(status: StatusReport, hierarchy: HierarchyView, mine: Collection[str]) -> bool:
    """Given up here, and not in service elsewhere yet."""
    if hierarchy.name not in mine or hierarchy.owner == status.node or hierarchy.held:
        return False
    return hierarchy.owner is None or hierarchy.nodes[hierarchy.owner].phase != "running"


def _now(hierarchy: HierarchyView) -> str:
    return doing(hierarchy) or f"{hierarchy.name} is {summary(hierarchy)}"
