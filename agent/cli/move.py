"""`kage in-service`, `out-of-service`, `recover` and `confirm`: ask the agent, then watch until it is so."""

from __future__ import annotations

import sys
from argparse import Namespace

from agent.api.client import AgentClient
from agent.api.reports import AnswerReport, MoveReport
from agent.cli import exits
from agent.cli.output import Progress, complain, print_json
from agent.cli.waiting import Goal, Waited, in_service_on, out_of_service, recovered, wait


def bring_in_service(options: Namespace) -> int:
    """Start a hierarchy, or move it to another node."""
    client = AgentClient(options.socket)
    answer = client.bring_in_service(options.name, options.node, options.owner_is_off)
    return follow(client, options, answer, in_service_on(options.node))


def take_out_of_service(options: Namespace) -> int:
    """Stop a hierarchy everywhere."""
    client = AgentClient(options.socket)
    return follow(client, options, client.take_out_of_service(options.name), out_of_service)


def recover(options: Namespace) -> int:
    """Repair a resource."""
    client = AgentClient(options.socket)
    return follow(client, options, client.recover(options.name), recovered(options.name))


def confirm(options: Namespace) -> int:
    """Answer whether a lost owner's hierarchy shall be taken over; after a no there is nothing to watch."""
    client, take = AgentClient(options.socket), options.answer == "yes"
    options.no_wait = options.no_wait or not take
    answer = client.confirm(options.name, take=take)
    return follow(client, options, answer, in_service_on(None))


def follow(client: AgentClient, options: Namespace, answer: AnswerReport, goal: Goal) -> int:
    """Say what was answered, watch until the goal is reached, and say how that ended: the exit code."""
    if answer.accepted and not options.json:
        sys.stdout.write(answer.text + "\n")
        sys.stdout.flush()
    waited = _wait(client, options, goal) if answer.accepted and not options.no_wait else None
    if options.json:
        print_json(_report(answer, waited))
    elif not answer.accepted:
        complain(f"refused: {answer.text}", "`kage status` shows how things stand")
    elif waited is not None and waited.reached:
        sys.stdout.write(f"{waited.text}, after {waited.took_s:.1f} s\n")
    elif waited is not None:
        complain(waited.text, "`kage events` tells what happened; `kage status` shows how things stand")
    if waited is not None and waited.timed_out:
        return exits.TIMED_OUT
    return exits.OK if answer.accepted and (waited is None or waited.reached) else exits.REFUSED


def _wait(client: AgentClient, options: Namespace, goal: Goal) -> Waited:
    progress = Progress(wanted=not options.json)
    try:
        return wait(client, options.name, goal, options.timeout / 1_000, progress.tell)
    finally:
        progress.clear()


def _report(answer: AnswerReport, waited: Waited | None) -> MoveReport:
    if waited is None:
        return MoveReport(accepted=answer.accepted, reached=None, text=answer.text, took_ms=0)
    took_ms = round(waited.took_s * 1_000)
    return MoveReport(accepted=True, reached=waited.reached, text=waited.text, took_ms=took_ms)
