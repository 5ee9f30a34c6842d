"""What of `kage mirror` can lose data: `create`, `wipe`, `force`.

Keeps: nothing is lost without a person's word that names whose data it is, typed or given as an option.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Iterator

from agent.api.client import AgentClient
from agent.api.mirrors import JobDetails, MirrorReport
from agent.api.reports import AnswerReport, MoveReport
from agent.cli import exits
from agent.cli.mirror import told
from agent.cli.move import follow
from agent.cli.output import Progress, complain, print_json, printable
from agent.cli.waiting import in_service_on

POLL_S = 0.3
PRESENT = frozenset({"self", "alive"})


def create(options: Namespace) -> int:
    """Make the first copy, and bring the hierarchy in service on it; asked again it goes on where it was."""
    client = AgentClient(options.socket)
    job = _creation(client.mirror(options.tag), options.node)
    if job is None or job.state == "failed" or (job.state == "done" and options.overwrite):
        body = {"node": options.node, "mkfs": options.mkfs, "overwrite": options.overwrite}
        answer = client.ask_mirror(options.tag, "create", body)
        if not answer.accepted:
            return told(options, answer)
        _tell(options, answer.text)
    began = time.monotonic()
    job = _await_creation(client, options, began)
    if job is not None and job.state == "failed":
        return told(options, AnswerReport(accepted=False, text=job.text))
    if job is not None and job.state == "running":
        return _not_in_time(options)
    options.timeout = max(0, options.timeout - round((time.monotonic() - began) * 1_000))
    return _bring_in(client, options, "begin", {"node": options.node})


def wipe(options: Namespace) -> int:
    """Make a node's disk blank, so that it can be filled again."""
    client, node = AgentClient(options.socket), options.node
    if code := _unknown(client.mirror(options.tag), node):  # told before anybody is asked to type
        return code
    warning = f"everything in the copy of {options.tag} on {node} will be gone"
    given = None if options.lose_copy_of is None else [options.lose_copy_of]
    if code := _refused(warning, word=node, whose=[node], given=given, option="--lose-copy-of"):
        return code
    return told(options, client.ask_mirror(options.tag, "wipe", {"node": node}))


def force(options: Namespace) -> int:
    """Use a copy that lacks writes."""
    client, node = AgentClient(options.socket), options.node
    mirror = client.mirror(options.tag)
    if code := _unknown(mirror, node):
        return code
    if not mirror.in_sync:
        complain("no copy counts yet", f"begin with: kage mirror create {mirror.tag} {node}")
        return exits.REFUSED
    if node in mirror.in_sync:
        complain(f"the copy of {node} is whole", f"kage in-service {mirror.hierarchy} --node {node}")
        return exits.REFUSED
    given = None if options.lose_writes_of is None else options.lose_writes_of.split(",")
    warning = "\n".join(_what_is_lost(mirror, node))
    if code := _refused(
        warning, word=mirror.hierarchy, whose=mirror.in_sync, given=given, option="--lose-writes-of"
    ):
        return code
    return _bring_in(client, options, "force", {"node": node, "lose_writes_of": mirror.in_sync})


def _unknown(mirror: MirrorReport, node: str) -> int:
    """0 for one of its nodes, or else the exit code."""
    if node in mirror.nodes:
        return exits.OK
    complain(f'{mirror.tag} has no copy on a node called "{node}"', f"it has on {' and '.join(mirror.nodes)}")
    return exits.REFUSED


def _what_is_lost(mirror: MirrorReport, node: str) -> Iterator[str]:
    whole = " and ".join(mirror.in_sync)
    yield f"{mirror.hierarchy} will run on the copy of {node}; what was written without it is lost for good:"
    yield f"  {whole} may have acknowledged writes that {node} lacks, and will be overwritten"
    for each in mirror.in_sync:
        if each in mirror.nodes and mirror.nodes[each].standing in PRESENT:
            loses_nothing = f"kage in-service {mirror.hierarchy} --node {each}"
            yield f"  {each} answers and its copy is whole: {loses_nothing} loses nothing"
    details = mirror.nodes[node].details if node in mirror.nodes else None
    if details is not None and details.disk.why:
        yield f"  the disk of {node}: {details.disk.why}"


def _refused(warning: str, *, word: str, whose: list[str], given: list[str] | None, option: str) -> int:
    """0 when a person has agreed, or else the exit code: by the option, or by typing `word`."""
    wanted = f"{option} {','.join(whose)}"
    if given is not None:
        if sorted(given) == sorted(whose):
            return exits.OK
        complain(f"{option} {','.join(given)} doesn't name what will be lost", f"that would be {wanted}")
        return exits.USAGE
    if not sys.stdin.isatty():
        complain(
            f"{warning}\nnobody can be asked: standard input is no terminal", f"if it may be lost: {wanted}"
        )
        return exits.USAGE
    lines = "\n".join(printable(line) for line in warning.splitlines())
    sys.stderr.write(f"{lines}\ntype {word} to go on: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() == word:
        return exits.OK
    complain("nothing was done", f"to go on, type {word}, or give {wanted}")
    return exits.REFUSED


def _bring_in(client: AgentClient, options: Namespace, verb: str, body: dict[str, object]) -> int:
    """Have the copy trusted, and watch the hierarchy come in service on it."""
    answer = client.ask_mirror(options.tag, verb, body)
    options.name = options.tag
    return follow(client, options, answer, in_service_on(options.node))


def _await_creation(client: AgentClient, options: Namespace, began: float) -> JobDetails | None:
    """The kit's job once it has ended, or as it is when time is up; None where it needs none."""
    progress = Progress(wanted=not options.json)
    try:
        while True:
            job = _creation(client.mirror(options.tag), options.node)
            if job is None or job.state != "running":
                return job
            if time.monotonic() - began >= options.timeout / 1_000:
                return job
            percent = f", {job.percent:.0f} %" if job.percent is not None else ""
            progress.tell(f"creating the copy of {options.node}{percent}")
            time.sleep(POLL_S)
    finally:
        progress.clear()


def _creation(mirror: MirrorReport, node: str) -> JobDetails | None:
    on = mirror.nodes.get(node)
    job = on.details.job if on is not None and on.details is not None else None
    return job if job is not None and job.verb == "create" else None


def _not_in_time(options: Namespace) -> int:
    text, hint = f"the copy of {options.node} is still being created", "give the same command again later"
    if options.json:
        print_json(MoveReport(accepted=True, reached=False, text=text, took_ms=options.timeout))
    else:
        complain(text, hint)
    return exits.TIMED_OUT


def _tell(options: Namespace, text: str) -> None:
    if not options.json:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
