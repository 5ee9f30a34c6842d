"""`kage notify test`: do notices get to their destinations from here? It needs no agent."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import closing

from agent.api.reports import NotifyTestView
from agent.cli import exits
from agent.cli.output import complain, print_json, printable
from agent.cli.whoami import this_node
from agent.config.errors import ConfigError
from agent.config.load import load
from agent.config.model import Config
from agent.config.notify import NotifySetup
from agent.notify.cloudwatch import CloudWatch
from agent.notify.contract import NotSent
from agent.notify.message import sample_message
from agent.notify.opening import Sessions, open_destination
from recovery_kits.registry import kits

WITHIN_S = 60.0  # each destination


def send_tests(options: Namespace) -> int:
    """Send a test notice to one destination, or to each, whatever its filters; side by side."""
    try:
        config = load(options.config, kits())
    except ConfigError as exc:
        complain(str(exc), f"kage check {options.config}")
        return exits.USAGE
    chosen = [setup for setup in config.notify if options.name in (None, setup.name)]
    if not chosen:
        names = ", ".join(setup.name for setup in config.notify)
        what = f'no destination is called "{options.name}"' if options.name else "there is no destination"
        complain(what, f"there are: {names}" if names else "write a table [notify.NAME]: docs/notices.md")
        return exits.USAGE
    node = this_node(config.cluster.nodes, options.node) or options.node or "(none of the nodes)"
    results = asyncio.run(_send_all(config, chosen, node))
    if options.json:
        print_json(results)
    else:
        sys.stdout.write("".join(f"{_line(each)}\n" for each in results))
    return exits.OK if all(each.sent for each in results) else exits.REFUSED


async def _send_all(config: Config, chosen: Sequence[NotifySetup], node: str) -> list[NotifyTestView]:
    with closing(Sessions(config)) as sessions:
        return list(await asyncio.gather(*(_send(config, each, node, sessions) for each in chosen)))


async def _send(config: Config, setup: NotifySetup, node: str, sessions: Sessions) -> NotifyTestView:
    cluster, began = config.cluster.name, time.monotonic()
    destination = open_destination(setup, cluster, node, sessions)
    why = ""
    try:
        async with asyncio.timeout(WITHIN_S):
            if isinstance(destination, CloudWatch):
                await destination.put(0)
            else:
                await destination.send(sample_message(node, cluster))
    except NotSent as error:
        why = str(error)
    except TimeoutError:
        why = f"no answer within {WITHIN_S:g} s"
    took_ms = round((time.monotonic() - began) * 1_000)
    return NotifyTestView(name=setup.name, kind=setup.table.kind, sent=not why, why=why, took_ms=took_ms)


def _line(result: NotifyTestView) -> str:
    came = f"sent in {result.took_ms} ms" if result.sent else f"failed: {printable(result.why)}"
    return f"{result.name} ({result.kind}): {came}"
