"""The command line of `kage`: its verbs, their options and what runs them (`module:function`)."""

from __future__ import annotations

import argparse
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from agent import version

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Verbs = _SubParsersAction[ArgumentParser]

CONFIG = "/etc/kagemusha/cluster.toml"
KEY_FILE = "/etc/kagemusha/cluster.key"
SOCKET = "/run/kagemusha/agent.sock"
EXITS = (
    "exit codes: 0 good, 1 refused, failed or findings, 2 usage or invalid configuration, "
    "3 no agent answers, 4 timed out"
)


class _ShowVersion(argparse.Action):
    """argparse's own asks for the version at each start."""

    def __call__(self, parser: ArgumentParser, *_: object) -> NoReturn:
        sys.stdout.write(f"kage {version()}\n")
        parser.exit()


def build_parser() -> ArgumentParser:
    """The whole command line; each verb's namespace names what runs it in `run`."""
    shared = _shared(argparse.SUPPRESS, argparse.SUPPRESS, argparse.SUPPRESS)
    defaults = _shared(
        Path(os.environ.get("KAGE_CONFIG") or CONFIG), Path(os.environ.get("KAGE_SOCKET") or SOCKET), False
    )
    parser = ArgumentParser(
        prog="kage", description="Looks after a cluster of services on AWS.", epilog=EXITS, parents=[defaults]
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    def verb(name: str, run: str, summary: str) -> ArgumentParser:
        added = verbs.add_parser(name, help=summary, description=summary, epilog=EXITS, parents=[shared])
        added.set_defaults(run=run)
        return added

    _looking(verb)
    _moving(verb)
    _mirroring(verb, shared)
    _preparing(verb, shared)
    return parser


def _shared(config: object, socket: object, json: object) -> ArgumentParser:
    """Options that every verb takes, before or after its name."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument(
        "--config", type=Path, default=config, metavar="FILE", help=f"KAGE_CONFIG or {CONFIG} if not given"
    )
    parser.add_argument(
        "--socket", type=Path, default=socket, metavar="PATH", help=f"KAGE_SOCKET or {SOCKET} if not given"
    )
    parser.add_argument("--json", action="store_true", default=json, help="print the report as JSON")
    return parser


Verb = Callable[[str, str, str], ArgumentParser]


def _looking(verb: Verb) -> None:
    status = verb("status", "status:show_status", "show nodes, comm paths and hierarchies")
    status.add_argument("--watch", action="store_true", help="follow on the terminal until Ctrl-C")
    verb("nodes", "status:show_nodes", "show all that is known of the nodes and their comm paths")
    events = verb("events", "events:show_events", "show what happened, oldest first")
    events.add_argument("--limit", type=_count, default=20, metavar="N", help="how many (default 20)")
    events.add_argument("--follow", action="store_true", help="go on with new ones until Ctrl-C")
    verb("metrics", "metrics:show_metrics", "print this node's figures as Prometheus reads them")
    timeline = verb("timeline", "timeline:show_timelines", "show how the last failovers and moves went")
    timeline.add_argument("--last", type=_count, default=1, metavar="N", help="how many (default 1)")


def _moving(verb: Verb) -> None:
    bring = verb("in-service", "move:bring_in_service", "start a hierarchy, or move it to another node")
    bring.add_argument("--node", metavar="NODE", help="the node it shall run on (default: the best one)")
    bring.add_argument(
        "--owner-is-off",
        metavar="NODE",
        help="your word that NODE, which owns it or waits to be fenced, runs nothing any more",
    )
    take = verb("out-of-service", "move:take_out_of_service", "stop a hierarchy everywhere, until in-service")
    for each in (bring, take):
        each.add_argument("name", metavar="NAME", help="a hierarchy, or a resource in it")
    recover = verb("recover", "move:recover", "repair a resource, and forget its hierarchy's failures")
    recover.add_argument("name", metavar="TAG", help="the resource")
    confirm = verb("confirm", "move:confirm", "answer whether a lost node's hierarchy shall be taken over")
    confirm.add_argument("name", metavar="NAME", help="the hierarchy, or a resource in it")
    confirm.add_argument("answer", choices=("yes", "no"), help="take it, or leave it to its owner")
    leave = verb("leave", "leave:leave", "hand over all that runs here: this machine is about to stop")
    _waiting(leave, "5min")
    for each in (bring, take, recover, confirm):
        _waiting(each, "60s")
        each.add_argument("--no-wait", action="store_true", help="return once the agent has begun")


def _mirroring(verb: Verb, shared: ArgumentParser) -> None:
    mirror = verb("mirror", "mirror:show", "show, or do something about, replicated data")
    actions = mirror.add_subparsers(title="actions", metavar="ACTION", required=True)

    def action(name: str, run: str, summary: str) -> ArgumentParser:
        added = actions.add_parser(name, help=summary, description=summary, epilog=EXITS, parents=[shared])
        added.set_defaults(run=run, verb=name)
        return added

    status = action("status", "mirror:show", "every copy: is it whole, what is done about it, what to do")
    status.add_argument("tag", metavar="TAG", nargs="?", help="the replicated resource (default: all)")
    about_node = [
        action(
            "pause", "mirror:ask_about_node", "copy nothing to a node until resume; its copy stops counting"
        ),
        action("resume", "mirror:ask_about_node", "copy to a node again, what has changed meanwhile"),
        action("resync", "mirror:ask_about_node", "detach a node's copy and copy what differs"),
        action("full-resync", "mirror:ask_about_node", "detach a node's copy and copy everything"),
    ]
    verify = action(
        "verify", "mirror:ask_about_all", "compare the copies in the background; status shows the result"
    )
    grow = action(
        "grow", "mirror:ask_about_all", "use larger disks: the mirror grows, then the filesystem on it"
    )
    throttle = action("throttle", "mirror:throttle", "bound how much is copied in a second")
    create = action("create", "mirror_grave:create", "make the first copy, and bring it in service")
    wipe = action("wipe", "mirror_grave:wipe", "make a node's disk blank, so that it can be filled anew")
    force = action(
        "force", "mirror_grave:force", "use a copy that lacks writes, when the others are lost for good"
    )
    for each in (*about_node, verify, grow, throttle, create, wipe, force):
        each.add_argument("tag", metavar="TAG", help="the replicated resource")
    for each in (*about_node, create, wipe, force):
        each.add_argument("node", metavar="NODE", help="whose copy")
    throttle.add_argument("rate", type=_rate, metavar="RATE", help='such as 50MB; "0": no limit')
    create.add_argument(
        "--mkfs", choices=("xfs", "ext4"), metavar="TYPE", help="make a filesystem on it, xfs or ext4"
    )
    create.add_argument("--overwrite", action="store_true", help="what is on that disk is of no use")
    wipe.add_argument("--lose-copy-of", metavar="NODE", help="your word, where nobody can be asked")
    force.add_argument("--lose-writes-of", metavar="NODE,…", help="the same: all whose writes may be lost")
    for each in (create, force):
        _waiting(each, "10min" if each is create else "60s")
    force.add_argument("--no-wait", action="store_true", help="return once the agent has begun")
    create.set_defaults(no_wait=False)


def _waiting(parser: ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--timeout",
        type=_duration_ms,
        default=default,
        metavar="TIME",
        help=f"wait so long (default {default})",
    )


def _preparing(verb: Verb, shared: ArgumentParser) -> None:
    agent = verb("agent", "local:run_agent", "run this node's agent (what the service unit starts)")
    agent.add_argument("--node", metavar="NODE", help="who this is (default: the host's name)")
    for option, directory, summary in (
        ("--state-dir", "/var/lib/kagemusha", "what must survive a restart of the machine"),
        ("--runtime-dir", "/run/kagemusha", "what must not; on a tmpfs"),
    ):
        agent.add_argument(
            option, type=Path, default=Path(directory), metavar="DIR", help=f"{summary} (default {directory})"
        )
    check = verb(
        "check", "check:check", "check a configuration file, and whether this node can do what it says"
    )
    check.add_argument("file", type=Path, nargs="?", metavar="FILE", help="instead of --config")
    check.add_argument("--node", metavar="NODE", help="who this is (default: the host's name)")
    check.add_argument("--offline", action="store_true", help="check the file alone")
    doctor = verb(
        "doctor", "doctor:show_doctor", "check the account and this machine against the configuration"
    )
    doctor.add_argument("--node", metavar="NODE", help="who this is (default: the host's name)")
    policy = verb("iam-policy", "iam_policy:show_policy", "print the least IAM policy for the configuration")
    policy.add_argument("--node", metavar="NODE", help="for this node alone (default: one for all)")
    policy.add_argument(
        "--account", type=_account, metavar="ID", help="the account's number (default: this machine's)"
    )
    policy.add_argument("--region", metavar="REGION", help="default: that of [aws], or this machine's")
    policy.add_argument("--with-doctor", action="store_true", help="what `kage doctor` asks AWS as well")
    config = verb("config", "config:show", "show or reload the configuration in force")
    actions = config.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name, summary in (
        ("show", "the configuration in force, as TOML"),
        ("reload", "make this node's agent read its file again"),
        ("path", "which file `kage` reads"),
    ):
        action = actions.add_parser(name, help=summary, description=summary, epilog=EXITS, parents=[shared])
        action.set_defaults(run=f"config:{name}")
    notify = verb("notify", "notify:send_tests", "try whether notices get to their destinations")
    trials = notify.add_subparsers(title="actions", metavar="ACTION", required=True)
    what = "send a test notice to each destination, or to one"
    trial = trials.add_parser("test", help=what, description=what, epilog=EXITS, parents=[shared])
    trial.set_defaults(run="notify:send_tests")
    trial.add_argument("name", metavar="NAME", nargs="?", help="one of [notify.NAME] (default: all)")
    trial.add_argument("--node", metavar="NODE", help="who this is (default: the host's name)")
    keygen = verb("keygen", "local:make_key", "make the cluster's key, once, on one node; or rotate it")
    keygen.add_argument(
        "file", type=Path, nargs="?", default=Path(KEY_FILE), metavar="FILE", help=f"default: {KEY_FILE}"
    )
    steps = keygen.add_mutually_exclusive_group()
    for option, step, summary in (
        ("--add", "add", "add a fresh second key, which opens and doesn't seal yet"),
        ("--promote", "promote", "let the second key seal: on every node, once all have both"),
        ("--drop-old", "drop_old", "drop the key that seals no more: on every node, once all were promoted"),
    ):
        steps.add_argument(option, dest="step", action="store_const", const=step, help=summary)
    replay = verb("replay", "local:walk_again", "walk a journal again, decision by decision")
    replay.add_argument("file", type=Path, metavar="FILE", help="the journal; journal-0.jsonl is the newest")
    verb("version", "local:show_version", "print the version")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= 1_000:
        return int(text)
    raise ArgumentTypeError(f'"{text}" is not a number from 1 to 1000')


def _account(text: str) -> str:
    if text.isascii() and text.isdigit() and len(text) == 12:
        return text
    raise ArgumentTypeError(f'"{text}" is not an account: those are 12 digits')


def _duration_ms(text: str) -> int:
    from agent.config.durations import parse_duration  # noqa: PLC0415 (agent.config takes 0.1 s to load)

    try:
        return parse_duration(text)
    except ValueError:
        raise ArgumentTypeError(f'"{text}" is not a duration such as 500ms, 60s or 5min') from None


def _rate(text: str) -> int:
    from agent.cli.sizes import parse_rate  # noqa: PLC0415 (one verb's)

    try:
        return parse_rate(text)
    except ValueError as exc:
        raise ArgumentTypeError(str(exc)) from None
