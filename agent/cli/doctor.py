"""`kage doctor`: are the account and this machine as the configuration needs them?"""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Iterable

from agent.api.reports import DoctorReport, DoctorView, FindingView
from agent.cli import exits
from agent.cli.looks import look
from agent.cli.output import complain, print_json, printable
from agent.cli.whoami import this_node
from agent.config.errors import ConfigError
from agent.config.load import load
from agent.config.model import Config
from agent.core.ids import NodeId
from agent.doctor.checks import ACCOUNT, Check, calls_aws, examine
from agent.doctor.contract import Outcome, Verdict
from recovery_kits.registry import kits

KAGE_CHECK = "check"  # the row of the report, and of docs/cli.md, that `kage check` stands behind


def show_doctor(options: Namespace) -> int:
    """What `kage check` finds, and what is around it."""
    try:
        config = load(options.config, kits())
    except ConfigError as exc:
        complain(str(exc), f"kage check {options.config}")
        return exits.USAGE
    node = this_node(config.cluster.nodes, options.node)
    if node is None:
        nobody = (
            f'no node is called "{options.node}"' if options.node else "this machine is none of the nodes"
        )
        complain(nobody, f"give --node, one of {', '.join(config.cluster.nodes)}")
        return exits.USAGE
    report = asyncio.run(_examine(config, node))
    if options.json:
        print_json(report)
    else:
        sys.stdout.write(_text(report))
    return exits.OK if all(row.outcome == Outcome.OK.value for row in report.rows) else exits.REFUSED


async def _examine(config: Config, node: NodeId) -> DoctorReport:
    findings, verdicts = await asyncio.gather(look(config, node), examine(config, node))
    notes = list(config.notes)
    if not calls_aws(config):
        notes.append(f"nothing of this configuration calls AWS: the {ACCOUNT} wasn't looked at.")
    rows = [*_from_check(findings), *(_row(*each) for each in verdicts)]
    return DoctorReport(source=str(config.source), digest=config.digest, node=node, notes=notes, rows=rows)


def _from_check(findings: Iterable[FindingView]) -> list[DoctorView]:
    rows = [
        DoctorView(
            group="configuration",
            check=KAGE_CHECK,
            outcome=(Outcome.PROBLEM if each.certain else Outcome.UNKNOWN).value,
            text=f"{each.tag}: {each.problem}",
            remedy=each.remedy,
        )
        for each in findings
    ]
    fine = "resources, key, arbiter, fencing and watchdog are as they should be (kage check)"
    good = DoctorView(group="configuration", check=KAGE_CHECK, outcome=Outcome.OK.value, text=fine)
    return rows or [good]


def _row(check: Check, verdict: Verdict) -> DoctorView:
    return DoctorView(
        group=check.group,
        check=check.name,
        outcome=verdict.outcome.value,
        text=verdict.text,
        remedy=verdict.remedy,
    )


def _text(report: DoctorReport) -> str:
    lines = [f"{report.source}: digest {report.digest}, looked at from {report.node}"]
    lines += [f"note: {note}" for note in report.notes]
    group = ""
    for row in report.rows:
        if row.group != group:
            group = row.group
            lines += ["", group]
        lines.append(f"  {row.outcome:7}  {row.check}: {printable(row.text)}")
        if row.remedy:
            lines.append(f"             remedy: {printable(row.remedy)}")
    counts = (f"{sum(row.outcome == each.value for row in report.rows)} {each.value}" for each in Outcome)
    return "\n".join([*lines, "", ", ".join(counts)]) + "\n"
