"""A TOML file to a checked `Config`, or a `ConfigError` with everything that is wrong with it."""

from __future__ import annotations

import hashlib
import re
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.config import authority, clusters, hierarchies
from agent.config.arbiter import ArbiterParameters, read_arbiter
from agent.config.errors import ConfigError, Problem
from agent.config.fencing import FencingDraft, read_fencing
from agent.config.lines import Where, find_lines
from agent.config.model import AwsSetup, Config, PathAddresses, SelfFence, SelfFenceTable
from agent.config.notify import NotifySetup, read_notify
from agent.config.reader import Table, read, refuse_unknown, subtable
from agent.config.resources import Kits
from agent.config.tables import ClusterTable
from agent.config.values import Problems
from agent.config.watchdogs import WatchdogSetup
from agent.core.ids import NodeId
from agent.core.model import Cluster, CommPath

T = TypeVar("T")

MAX_BYTES = 1 << 20  # a thousand resources fit in a tenth of it
_TOP_KEYS = (
    *("cluster", "comm_path", "hierarchy", "arbiter", "fencing", "watchdog", "aws", "self_fence"),
    "notify",
)
_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")
_KEY_TUPLE, _KEY = re.compile(r"\('.*\)"), re.compile(r"'([^']*)'")
_REMEDIES = (  # how tomllib's messages begin, and what to do
    ("Invalid value", "a string needs quotes, a list brackets; true and false are lower case"),
    ("Cannot overwrite a value", "this key or table was given before; keep one of them"),
    ("Unclosed array", "a list ends with ]"),
    ("Cannot declare", "put all keys of a table under one header"),
    ("Expected newline", "one key = value on each line; a number can't begin with 0"),
    ("Expected '='", 'write key = "value"'),
    ("Illegal character '\\n'", "a string ends on the line where it begins"),
    ("Found invalid character '\\n'", "a string ends on the line where it begins"),
    ("Unescaped '\\' in a string", "write \\\\ for a backslash, or put the string in single quotes"),
)


def load(path: Path, kits: Kits) -> Config:
    """Read and check the file at `path`; raises ConfigError, also for a file that can't be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(path, [Problem(0, "", "is not a regular file; name the cluster's TOML file")])
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigError(path, [Problem(0, "", "isn't there: write it, or name another one")]) from error
    except OSError as error:
        raise ConfigError(path, [Problem(0, "", f"can't be read: {error.strerror or error}")]) from error
    if not data:
        problem = (
            "is empty, as a file is after a loss of power just after it was written; copy it from a peer"
        )
        raise ConfigError(path, [Problem(0, "", problem)])
    if len(data) > MAX_BYTES:
        raise ConfigError(path, [Problem(0, "", "is larger than 1 MiB; a configuration is a few kilobytes")])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, [Problem(line, "", "is not UTF-8 text; save the file as UTF-8")]) from error
    return parse(text, path, kits)


def parse(text: str, source: Path, kits: Kits) -> Config:
    """Check the text of a configuration file; raises ConfigError. `source` is named in its messages."""
    document, lines = _decode(text, source)
    problems = Problems(lines)
    draft = _read_all(document, kits, problems)
    if found := problems.sorted():
        raise ConfigError(source, found)
    assert draft.cluster is not None, "a refused table has a problem"
    assert draft.aws is not None, "a refused table has a problem"
    assert draft.self_fence is not None, "a refused table has a problem"
    paths = clusters.finish_paths(draft.paths, draft.cluster)
    cluster = _finish_cluster(draft, draft.cluster, paths)
    return Config(
        source=source,
        text=text,
        digest=hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:12],
        cluster=cluster,
        key_file=draft.cluster.key_file,
        paths=paths,
        resources=hierarchies.finish_setups(draft.hierarchies),
        aws=draft.aws,
        self_fence=SelfFence(
            command=draft.self_fence.command, on_authority_lost=draft.cluster.on_authority_lost
        ),
        arbiter=draft.arbiter,
        fencing_levels=draft.fencing.levels,
        watchdog=draft.watchdog,
        isolation_check=draft.cluster.isolation_check,
        notify=draft.notify,
        notes=(
            *clusters.notes(paths),
            *authority.notes(cluster, draft.watchdog),
            *hierarchies.notes(draft.hierarchies),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Draft:
    """Every table as far as it could be read; None where there is none, or it was refused."""

    cluster: ClusterTable | None
    paths: list[clusters.PathDraft]
    nodes: list[NodeId]
    witnesses: tuple[str, ...]
    hierarchies: list[hierarchies.HierarchyDraft]
    arbiter: ArbiterParameters | None
    fencing: FencingDraft
    watchdog: WatchdogSetup | None
    aws: AwsSetup | None
    self_fence: SelfFenceTable | None
    notify: tuple[NotifySetup, ...]


def _read_all(document: Table, kits: Kits, problems: Problems) -> _Draft:
    """Read every table, and check what depends on several."""
    refuse_unknown(document, _TOP_KEYS, (), problems)
    if "cluster" not in document:
        problems.add((), "the table [cluster] is missing; write one with a name and a key_file")
    paths = clusters.read_paths(document, problems)
    nodes = clusters.nodes_of(paths)
    voting = authority.read_authority(document, nodes, problems)
    drafts = hierarchies.read_hierarchies(document, nodes, voting.witnesses, kits, problems)
    running = {node for draft in drafts for node in draft.nodes}
    fencing = read_fencing(document, nodes, running, problems)
    authority.check_votes(voting, document, nodes, fencing, problems)
    return _Draft(
        cluster=_read_table(ClusterTable, document, "cluster", problems) if "cluster" in document else None,
        paths=paths,
        nodes=nodes,
        witnesses=voting.witnesses,
        hierarchies=drafts,
        arbiter=read_arbiter(document, problems),
        fencing=fencing,
        watchdog=_read_table(WatchdogSetup, document, "watchdog", problems)
        if "watchdog" in document
        else None,
        aws=_read_table(AwsSetup, document, "aws", problems),
        self_fence=_read_table(SelfFenceTable, document, "self_fence", problems),
        notify=read_notify(document, [draft.name for draft in drafts], problems),
    )


def _read_table(cls: type[T], document: Table, key: str, problems: Problems) -> T | None:
    table = subtable(document, key, (), problems)
    return None if table is None else read(cls, table, (key,), problems)


def _finish_cluster(draft: _Draft, table: ClusterTable, paths: tuple[PathAddresses, ...]) -> Cluster:
    return Cluster(
        name=table.name,
        nodes=tuple(draft.nodes),
        paths=tuple(CommPath(name=path.name, priority=path.priority) for path in paths),
        hierarchies=tuple(hierarchies.finish_hierarchy(each) for each in draft.hierarchies),
        heartbeat=table.heartbeat(),
        quorum=table.quorum,
        witnesses=tuple(NodeId(witness) for witness in draft.witnesses),
        arbiter=draft.arbiter is not None,
        takeover_margin_ms=table.takeover_margin_ms,
        on_authority_lost=table.on_authority_lost,
        stop_within_ms=table.stop_within_ms or 0,
        fencing=draft.fencing.mode(table.quorum),
        isolation_check=bool(table.isolation_check),
        startup_grace_ms=table.startup_grace_ms,
    )


def _decode(text: str, source: Path) -> tuple[dict[str, Any], dict[Where, int]]:
    if text.startswith("\ufeff"):
        raise ConfigError(
            source, [Problem(1, "", "begins with a byte order mark; save it as UTF-8 without one")]
        )
    try:
        return tomllib.loads(text), find_lines(text)
    except RecursionError as error:
        raise ConfigError(source, [Problem(0, "", "is nested too deeply to be a configuration")]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, [_syntax_problem(str(error), text)]) from error
    except ValueError as error:  # an integer of thousands of digits; tomllib lets int's own error out
        raise ConfigError(source, [Problem(0, "", f"is not valid TOML: {error}")]) from error


def _syntax_problem(message: str, text: str) -> Problem:
    position = _POSITION.search(message)
    reason = _KEY_TUPLE.sub(lambda keys: f"[{'.'.join(_KEY.findall(keys[0]))}]", _POSITION.sub("", message))
    at_end = position is None or position[1] is None
    line = text.rstrip().count("\n") + 1 if at_end or position is None else int(position[1])
    remedy = next((remedy for start, remedy in _REMEDIES if reason.startswith(start)), "")
    return Problem(line, "", f"not valid TOML: {reason}" + (f": {remedy}" if remedy else ""))
