"""`kage in-service`, `out-of-service` and `recover`: ask the agent, then watch until it is so."""

from __future__ import annotations

import sys
import time
from argparse import Namespace

from agent.api.client import AgentClient
from agent.api.reports import AnswerReport, MoveReport
from agent.cli import exits
from agent.cli.output import Progress, complain, print_json
from agent.cli.waiting import Goal, Waited, in_service_on, out_of_service, recovered, wait


def bring_in_service(options: Namespace) -> int:
    """Start a hierarchy, or move it to another node."""
    client = AgentClient(options.socket)
    return _follow(
        client, options, client.bring_in_service(options.name, options.node), in_service_on(options.node)
    )


def take_out_of_service(options: Namespace) -> int:
    """Stop a hierarchy everywhere."""
    client = AgentClient(options.socket)
    return _follow(client, options, client.take_out_of_service(options.name), out_of_service)


def recover(options: Namespace) -> int:
    """Repair a resource."""
    client = AgentClient(options.socket)
    return _follow(client, options, client.recover(options.name), recovered(options.name))


def _follow(client: AgentClient, options: Namespace, answer: AnswerReport, goal: Goal) -> int:
    began = time.monotonic()
    if not answer.accepted:
        return _report(options, answer, None, took_ms=0)
    if options.no_wait:
        return _report(options, answer, None, took_ms=0)
    progress = Progress(wanted=not options.json)
    try:
        waited = wait(client, options.name, goal, options.timeout / 1_000, progress.tell)
    finally:
        progress.clear()
    return _report(options, answer, waited, took_ms=round((time.monotonic() - began) * 1_000))


def _report(options: Namespace, answer: AnswerReport, waited: Waited | None, *, took_ms: int) -> int:
    good = answer.accepted if waited is None else waited.reached
    text = answer.text if waited is None else waited.text
    if options.json:
        reached = waited.reached if waited else None
        print_json(MoveReport(accepted=answer.accepted, reached=reached, text=text, took_ms=took_ms))
    elif good:
        sys.stdout.write(text + ("" if waited is None else f", after {took_ms / 1_000:.1f} s") + "\n")
    elif not answer.accepted:
        complain(f"refused: {text}", "`kage status` shows how things stand")
    else:
        complain(text, "`kage events` tells what happened; `kage status` shows how things stand")
    if waited is not None and waited.timed_out:
        return exits.TIMED_OUT
    return exits.OK if good else exits.REFUSED
