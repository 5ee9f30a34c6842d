"""`kage mirror`: what replicated data looks like, and what is asked of it."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping

from agent.api.client import AgentClient
from agent.api.reports import AnswerReport
from agent.cli import exits
from agent.cli.mirror_view import mirrors_page
from agent.cli.output import complain, print_json
from agent.cli.screen import Screen


def show(options: Namespace) -> int:
    """Every mirror, or the one of that tag."""
    client, screen = AgentClient(options.socket), Screen.of_stdout()
    if options.tag is None:
        mirrors = client.mirrors()
        report: object = mirrors
    else:
        report = client.mirror(options.tag)
        mirrors = [report]
    if options.json:
        print_json(report)
    else:
        screen.show(mirrors_page(mirrors))
    return exits.OK


def ask_about_node(options: Namespace) -> int:
    """`pause`, `resume`, `resync`, `full-resync`: of the source, about one target."""
    return _ask(options, options.verb, {"node": options.node})


def ask_about_all(options: Namespace) -> int:
    """`verify`, `grow`: of the source, about all copies."""
    return _ask(options, options.verb)


def throttle(options: Namespace) -> int:
    """Bound what a resync copies in a second."""
    return _ask(options, "throttle", {"bytes_per_s": options.rate})


def _ask(options: Namespace, verb: str, body: Mapping[str, object] | None = None) -> int:
    return told(options, AgentClient(options.socket).ask_mirror(options.tag, verb, body))


def told(options: Namespace, answer: AnswerReport) -> int:
    """Say what was answered: the exit code."""
    if options.json:
        print_json(answer)
    elif answer.accepted:
        sys.stdout.write(answer.text + "\n")
    else:
        complain(f"refused: {answer.text}", f"`kage mirror status {options.tag}` shows how things stand")
    return exits.OK if answer.accepted else exits.REFUSED
