"""The verbs that need no agent: `agent` itself, `keygen`, `replay` and `version`."""

from __future__ import annotations

import sys
from argparse import Namespace

from agent import version
from agent.cli import exits
from agent.cli.output import complain, print_json


def run_agent(options: Namespace) -> int:
    """Run this node's agent until it is told to end."""
    from agent.cli.daemon import run  # noqa: PLC0415 (only this verb needs the runtime)

    return run(options.config, options.node, options.state_dir, options.runtime_dir)


def make_key(options: Namespace) -> int:
    """Write a new cluster key, never over an old one; or take one step of a rotation."""
    from agent.comm import keys  # noqa: PLC0415 (loads the ciphers)

    step, then = {
        "add": (keys.add, "a second key; copy the file to every node over a safe way, then --promote"),
        "promote": (keys.promote, "the keys changed places; once all nodes have done it: --drop-old"),
        "drop_old": (keys.drop_old, "the old key is gone"),
    }.get(options.step, (keys.generate, "a new key, mode 0400; copy it to every node over a safe way"))
    try:
        ring = step(options.file)
    except keys.KeyFileError as exc:
        complain(str(exc))
        return exits.REFUSED
    if options.json:
        print_json({"file": str(options.file), "keys": [key_id.hex() for key_id in ring.ids]})
    else:
        sys.stdout.write(f"{options.file}: {then}\n{ring}\n")
    return exits.OK


def walk_again(options: Namespace) -> int:
    """Walk a journal again; with --json one list of its lines."""
    from agent.runtime.replay import ReplayError, replay  # noqa: PLC0415

    try:
        if options.json:
            print_json(list(replay(options.file)))
            return exits.OK
        for line in replay(options.file):
            sys.stdout.write(line + "\n")
    except ReplayError as exc:
        complain(str(exc))
        return exits.REFUSED
    return exits.OK


def show_version(options: Namespace) -> int:
    """The version of this kage."""
    if options.json:
        print_json({"version": version()})
    else:
        sys.stdout.write(f"kage {version()}\n")
    return exits.OK
