"""`kage check`: is the file right, and can this node do what it says? Changes nothing."""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.api.reports import CheckReport, FindingView, ProblemView
from agent.cli import exits
from agent.cli.output import complain, print_json
from agent.cli.whoami import this_node
from agent.comm import keys
from agent.comm.sockets import is_local
from agent.config.errors import ConfigError
from agent.config.load import load
from agent.config.model import Config
from agent.core.ids import NodeId
from agent.runtime.kitbox import KitBox
from recovery_kits.contract import Finding, Kit, KitError
from recovery_kits.registry import kits

VALIDATE_WITHIN_S = 20.0  # each resource; all are looked at side by side


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
    findings = [*_look_around(config, node), *asyncio.run(_look(config, node))] if node is not None else []
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


def _look_around(config: Config, node: NodeId) -> Iterator[FindingView]:
    """What would keep the agent itself from starting, or from being heard, here."""
    try:
        keys.load(config.key_file)
    except keys.KeyFileError as exc:
        remedy = "kage keygen on one node, a copy on the others; check as the user that the agent runs as"
        yield FindingView(tag="cluster.key_file", problem=str(exc), remedy=remedy)
    for path in config.paths:
        address = path.addresses[node]
        if not is_local(address):
            yield FindingView(
                tag=f"comm_path.{path.name}.{node}",
                problem=f"this machine doesn't have the address {address}",
                remedy=f"correct it, or add it to a device; is this machine {node}?",
            )


async def _look(config: Config, node: NodeId) -> list[FindingView]:
    with tempfile.TemporaryDirectory(prefix="kage-check-") as directory:
        box = KitBox(node, config, Path(directory), lambda _tag, _line: None)
        try:
            found = await asyncio.gather(*(_validate(kit) for kit in box.make(config).values()))
        finally:
            box.close()
    return [finding for findings in found for finding in findings]


async def _validate(kit: Kit[Any]) -> list[FindingView]:
    try:
        async with asyncio.timeout(VALIDATE_WITHIN_S):
            findings = await kit.validate()
    except KitError as exc:
        findings = [Finding(exc.reason, "mend that, then check again")]
    except TimeoutError:
        findings = [
            Finding(
                f"could not be looked at within {VALIDATE_WITHIN_S:g} s", "see what hangs, then check again"
            )
        ]
    tag = kit.tools.tag
    return [FindingView(tag=tag, problem=each.problem, remedy=each.remedy) for each in findings]


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
