"""[fencing]: how another node is made harmless; levels in order, with a target for each node."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from msgspec import Meta

from agent.config.errors import BadParameter
from agent.config.lines import Where
from agent.config.overrides import read_for_nodes, read_overrides
from agent.config.reader import Table, parameters_of, read_known, refuse_unknown, subtable, subtables
from agent.config.tables import Name
from agent.config.values import Problems, convert, show
from agent.core.ids import NodeId
from agent.core.states import Fencing, Quorum

_KEY = re.compile(r"[a-z][a-z0-9_-]*\Z")
_SECRET_KEY = re.compile(r"(passw(or)?d|passphrase|secret([_-]key)?|token|api[_-]?key|community)\Z")


@dataclass(frozen=True, kw_only=True)
class FencingTable:
    """[fencing] without its levels"""

    required: Annotated[
        bool | None,
        Meta(
            description="Nothing of a lost node is started elsewhere before there is evidence that it is "
            'harmless. Without it: true with quorum = "none", false with "majority", whose grants '
            "suffice; the lost node is then fenced all the same."
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LevelTable:
    """[fencing.level.NAME] without its kind's own parameters"""

    priority: Annotated[
        int, Meta(description="1 is tried first, the next when it gives no evidence.", ge=1, le=1_000)
    ]
    kind: Annotated[
        Literal["ec2", "agent"],
        Meta(description="`ec2` stops the node's instance, `agent` asks a ClusterLabs fence agent."),
    ]
    tries: Annotated[
        int,
        Meta(description="So often while nobody answers; a certain failure isn't repeated.", ge=1, le=10),
    ] = 2


@dataclass(frozen=True, kw_only=True)
class Ec2Target:
    """kind = "ec2": one node's instance, and what is done to it."""

    instance: Annotated[
        str,
        Meta(
            description="The node's instance.",
            title="an instance id",
            pattern=r"^i-([0-9a-f]{8}|[0-9a-f]{17})\Z",
            examples=["i-0123456789abcdef0"],
        ),
    ]
    action: Annotated[
        Literal["stop", "reboot"],
        Meta(
            description="`stop` leaves it stopped; `reboot` starts it again once it is certainly stopped, "
            "on another host perhaps, and without what was on instance store volumes."
        ),
    ] = "stop"
    limit_ms: Annotated[
        int, Meta(description="How long it may take until it is stopped.", ge=5_000, le=900_000)
    ] = 60_000

    @property
    def victim(self) -> object:
        """What is fenced: equal for targets that harm the same machine."""
        return self.instance


@dataclass(frozen=True, kw_only=True)
class ClusterLabsTarget:
    """kind = "agent": one node's power switch, and the fence agent that works it."""

    agent: Annotated[
        str,
        Meta(
            description="The fence agent: its name, or the absolute path of the program.",
            title="a fence agent",
            pattern=r"^(fence_[a-z0-9_]+|/\S+)\Z",
            examples=["fence_ipmilan"],
        ),
    ]
    options: Annotated[
        tuple[str, ...],
        Meta(description="What it is told, each as `key=value`; `fence_… -o metadata` lists the keys."),
    ] = ()
    secrets: Annotated[
        tuple[str, ...],
        Meta(description="Options whose value is a file's first line, each as `key=/path/of/the/file`."),
    ] = ()
    action: Annotated[
        Literal["off", "reboot"],
        Meta(description="`reboot`: off, and on again once it is certainly off."),
    ] = "off"
    has_status: Annotated[
        bool,
        Meta(
            description="False for an agent without the action `status` (fence_kdump): the success of "
            "`off` is then believed."
        ),
    ] = True
    limit_ms: Annotated[int, Meta(description="How long it may take in all.", ge=1_000, le=900_000)] = 60_000

    @property
    def victim(self) -> object:
        """What is fenced: equal for targets that harm the same machine."""
        return self.agent, frozenset(self.options)

    def __post_init__(self) -> None:
        for name in ("options", "secrets"):
            for option in getattr(self, name):
                _check_option(name, option)
        for option in self.options:
            if _SECRET_KEY.search(key := option.partition("=")[0]):
                raise BadParameter(
                    "options", f'{key} is a secret: secrets = ["{key}=/etc/kagemusha/{key}"], mode 0400'
                )


@dataclass(frozen=True, kw_only=True)
class _Level:
    name: str  # that of [fencing.level.NAME]
    priority: int  # unique; 1 is tried first
    tries: int


@dataclass(frozen=True, kw_only=True)
class Ec2Level(_Level):
    """Stops instances."""

    targets: Mapping[NodeId, Ec2Target]


@dataclass(frozen=True, kw_only=True)
class AgentLevel(_Level):
    """Works power switches through fence agents."""

    targets: Mapping[NodeId, ClusterLabsTarget]


FencingLevel = Ec2Level | AgentLevel
_KINDS: Mapping[str, tuple[type[Any], type[FencingLevel]]] = {
    "ec2": (Ec2Target, Ec2Level),
    "agent": (ClusterLabsTarget, AgentLevel),
}


@dataclass(frozen=True)
class FencingDraft:
    """[fencing] as far as it could be read."""

    required: bool | None = None
    levels: tuple[FencingLevel, ...] = ()  # in order

    def mode(self, quorum: Quorum) -> Fencing:
        """What becomes of a lost owner, once nothing is wrong with it."""
        if not self.levels:
            return Fencing.NONE
        required = self.required if self.required is not None else quorum is Quorum.NONE
        return Fencing.REQUIRED if required else Fencing.BESIDE


def read_fencing(
    document: Table, nodes: Collection[NodeId], running: Collection[NodeId], problems: Problems
) -> FencingDraft:
    """[fencing] of a cluster of `nodes`; those `running` a hierarchy must have a target in each level."""
    table = subtable(document, "fencing", (), problems)
    if "fencing" not in document or table is None:
        return FencingDraft()
    where: Where = ("fencing",)
    refuse_unknown(table, [*parameters_of(FencingTable), "level"], where, problems)
    settings = read_known(FencingTable, table, lambda key: (*where, key), problems)
    tables = subtables(table, "level", "NAME", where, problems)
    if "level" not in table:
        problems.add(where, "has no level; write a table [fencing.level.NAME] for each means")
    read = [
        _read_level(name, level, (*where, "level", name), nodes, running, problems)
        for name, level in tables.items()
    ]
    levels = sorted((each for each in read if each is not None), key=lambda level: level.priority)
    _check_priorities(levels, problems)
    return FencingDraft(settings.required if settings else None, tuple(levels))


def _read_level(
    name: str,
    table: Table,
    where: Where,
    nodes: Collection[NodeId],
    running: Collection[NodeId],
    problems: Problems,
) -> FencingLevel | None:
    convert(Name, name, where, problems)
    settings = read_known(LevelTable, table, lambda key: (*where, key), problems)
    if settings is None:
        return None
    target, level = _KINDS[settings.kind]
    common = [*parameters_of(LevelTable), "node"]
    refuse_unknown(table, [*common, *parameters_of(target)], where, problems)
    overrides = read_overrides(table, where, nodes, "this cluster", problems)
    named = [node for node in nodes if node in running or node in overrides]
    own = ("instance",) if settings.kind == "ec2" else ()
    targets = read_for_nodes(target, table, overrides, where, named, problems, common=common, own=own)
    _check_victims(targets, where, problems)
    return level(name=name, priority=settings.priority, tries=settings.tries, targets=targets)


def _check_victims(targets: Mapping[NodeId, Any], where: Where, problems: Problems) -> None:
    """Two nodes with one target: whoever fenced the one would fence the other, or itself."""
    taken: dict[object, NodeId] = {}
    for node, target in targets.items():
        other = taken.setdefault(target.victim, node)
        if other != node:
            problems.add(
                (*where, "node", node),
                f"has the same target as {show(other)}: give each node its own in a table node.NODE",
            )


def _check_priorities(levels: list[FencingLevel], problems: Problems) -> None:
    for one, other in pairwise(levels):
        if one.priority == other.priority:
            problems.add(
                ("fencing", "level", other.name, "priority"),
                f"level {show(one.name)} has priority {one.priority} too: give each its own",
            )


def _check_option(name: str, option: str) -> None:
    """Raise BadParameter unless it is one `key=value` line that leaves the action to us."""
    key, equals, value = option.partition("=")
    if not equals or not _KEY.match(key) or "\n" in value or "\r" in value:
        shown = "a secret" if name == "secrets" else repr(option)
        raise BadParameter(name, f"write key=value on one line, not {shown}")
    if key in ("action", "option"):
        raise BadParameter(name, f"{key} is what the agent is told to do, and not yours to set")
    if name == "secrets" and not value.startswith("/"):
        raise BadParameter(name, f'write {key}=/path/of/a/file: the file holds the secret, not "{name}"')
