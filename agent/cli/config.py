"""`kage config show | reload | path`."""

from __future__ import annotations

import sys
import time
from argparse import Namespace

from agent.api.client import AgentClient
from agent.cli import exits
from agent.cli.output import complain, print_json


def show(options: Namespace) -> int:
    """The configuration in force; as text it is TOML, with what is known of it in comments above."""
    report = AgentClient(options.socket).config()
    if options.json:
        print_json(report)
        return exits.OK
    loaded = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.loaded_time))
    notes = "".join(f"# note: {note}\n" for note in report.notes)
    sys.stdout.write(f"# {report.source}, digest {report.digest}, loaded {loaded}\n{notes}{report.text}")
    return exits.OK


def reload(options: Namespace) -> int:
    """Make the agent read its file again; a refusal says everything that is wrong with it."""
    answer = AgentClient(options.socket).reload_config()
    if options.json:
        print_json(answer)
    elif answer.accepted:
        sys.stdout.write(answer.text + "\n")
    else:
        complain(answer.text, "the configuration before it stays in force")
    return exits.OK if answer.accepted else exits.REFUSED


def path(options: Namespace) -> int:
    """Which file `kage check` and `kage agent` read with these options and this environment."""
    if options.json:
        print_json({"source": str(options.config)})
    else:
        sys.stdout.write(f"{options.config}\n")
    return exits.OK
