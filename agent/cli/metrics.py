"""`kage metrics`."""

from __future__ import annotations

import sys
from argparse import Namespace

from agent.api.client import AgentClient
from agent.cli import exits
from agent.cli.output import print_json


def show_metrics(options: Namespace) -> int:
    """What Prometheus would read; with --json the same text as a string."""
    text = AgentClient(options.socket).metrics()
    if options.json:
        print_json({"text": text})
    else:
        sys.stdout.write(text)
    return exits.OK
