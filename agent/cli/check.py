"""`kage check`: is the file right, and can this node do what it says?"""

from __future__ import annotations

import asyncio
import socket
import sys
from argparse import Namespace
from pathlib import Path

from agent.api.reports import CheckReport, ProblemView
from agent.cli import exits
from agent.cli.looks import look
from agent.cli.output import complain, print_json
from agent.cli.whoami import this_node
from agent.config.errors import ConfigError
from agent.config.load import load
from agent.config.model import Config
from recovery_kits.registry import kits


def check(options: Namespace) -> int:
    """Every problem of the file with its line; then what this node would stumble over."""
    source: Path = options.file or options.config
    try:
        config = load(source, kits())
    except ConfigError as exc:
        return _invalid(exc, json=options.json)
    node = this_node(config.cluster.nodes, options.node)
    if options.node is not None and node is None:
        complain(f'no node is called "{options.node}"', f"the nodes are {', '.join(config.cluster.nodes)}")
        return exits.USAGE
    if options.offline:
        node = None
    findings = [] if node is None else asyncio.run(look(config, node))
    report = CheckReport(
        source=str(source),
        valid=True,
        digest=config.digest,
        node=node,
        notes=list(config.notes),
        findings=findings,
    )
    if options.json:
        print_json(report)
    else:
        sys.stdout.write(_text(report, config, offline=options.offline))
    return exits.REFUSED if findings else exits.OK


def _invalid(error: ConfigError, *, json: bool) -> int:
    problems = [ProblemView(line=each.line, key=each.key, message=each.message) for each in error.problems]
    if json:
        print_json(CheckReport(source=str(error.source), valid=False, problems=problems))
    else:
        sys.stdout.write(f"{error}\n{error.source}: invalid, {_many(len(problems), 'problem')}\n")
    return exits.USAGE


def _text(report: CheckReport, config: Config, *, offline: bool) -> str:
    cluster = config.cluster
    counts = f"{_many(len(cluster.hierarchies), 'hierarchy')}, {_many(len(config.resources), 'resource')}"
    valid = f"{report.source}: valid; cluster {cluster.name}, nodes {', '.join(cluster.nodes)}"
    lines = [f"{valid}, {counts}, digest {report.digest}"]
    lines += [f"note: {note}" for note in report.notes]
    for each in report.findings:
        lines += [f"finding: {each.tag}: {each.problem}", f"  remedy: {each.remedy}"]
    if report.node is not None:
        lines.append(f"{report.node}: {_many(len(report.findings), 'finding')}")
    elif not offline:
        lines.append(f"{socket.gethostname()} is none of the nodes: only the file was checked (see --node)")
    return "\n".join(lines) + "\n"


def _many(count: int, what: str) -> str:
    plural = what[:-1] + "ies" if what.endswith("y") else what + "s"
    return f"{count or 'no'} {what if count == 1 else plural}"
