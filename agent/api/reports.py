"""The reports that the API returns as JSON and the CLI and the console show. They tell; they never decide.

Structs, for `kage` is begun anew for each command, and dataclasses would take it 25 ms. Times are seconds
since the epoch (`*_time`) or milliseconds (`*_ms`).
"""

from __future__ import annotations

import msgspec


class PathView(msgspec.Struct, frozen=True, kw_only=True):
    """One comm path from this node to one peer."""

    name: str
    priority: int
    state: str  # "up" | "down"
    local: str  # address
    remote: str
    rtt_ms: float | None  # of the newest answered heartbeat
    loss_percent: float | None  # of the last hundred heartbeats


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One node as the answering node sees it."""

    name: str
    standing: str  # "self" | "alive" | "lost" | "left" | "never-heard"
    comm: str  # the two icons' worth: "up" | "warning" (some paths, or only one configured) | "dead"
    witness: bool = False  # votes and runs nothing
    paths: list[PathView] = msgspec.field(default_factory=list)
    config_digest: str = ""
    version: str = ""
    keys: list[str] = msgspec.field(default_factory=list)  # ids of the cluster keys it holds; the first seals


class ResourceOnNode(msgspec.Struct, frozen=True, kw_only=True):
    """One resource on one node."""

    state: str  # "ISP" | "ISU" | "OSU" | "OSF" | "unknown"
    action: str | None = None  # in progress: "restore", "remove", …
    why: str = ""


class ResourceView(msgspec.Struct, frozen=True, kw_only=True):
    """One resource of a hierarchy."""

    tag: str
    kit: str
    depends_on: list[str]
    nodes: dict[str, ResourceOnNode]
    replicated: bool = False  # each node has a copy of its data: see agent.api.mirrors


class WaitView(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a node, whose turn it is, from taking a hierarchy over or from starting it."""

    reason: str  # "isolated" | "confirming" | "fencing" | "votes"
    lost: list[str] = msgspec.field(default_factory=list)  # whom is asked about, or who is to be fenced
    why: str = ""  # fencing: why the last try failed. This and what follows: known on the waiting node alone
    answered: bool | None = None  # confirming: what an operator said; None: nothing yet
    default: bool | None = None  # confirming: the answer when nobody gives one until …
    default_time: float | None = None


class HierarchyOnNode(msgspec.Struct, frozen=True, kw_only=True):
    """A hierarchy on one node."""

    priority: int  # 1 is the highest
    phase: str  # "probing" | "stopped" | "starting" | "running" | "stopping" | "stuck" | "unknown"
    eligible: bool
    why_not: str = ""
    waits: WaitView | None = None


class VoteView(msgspec.Struct, frozen=True, kw_only=True):
    """The newest vote of one voter, as far as the answering node knows it."""

    candidate: str | None
    term: int
    left_ms: int | None = None  # until this grant to the answering node ends, unless it is renewed


class AuthorityView(msgspec.Struct, frozen=True, kw_only=True):
    """The answering node's own claim to a hierarchy, as it counts it, with quorum "majority"."""

    standing: str  # "none" | "seeking" | "held" | "expired"
    left_ms: int | None  # until a majority's grants end unless they are renewed; None: it needs or has none
    votes: dict[str, VoteView]  # by node, and "(arbiter)"; without those it hasn't heard


class HierarchyView(msgspec.Struct, frozen=True, kw_only=True):
    """One hierarchy in the whole cluster."""

    name: str
    owner: str | None
    term: int
    held: bool  # out of service because an operator said so
    switchback: str
    nodes: dict[str, HierarchyOnNode]
    resources: list[ResourceView]  # parents first: the order of the tree
    unattended: bool = False  # the owner's agent was stopped in good order, and left it running
    authority: AuthorityView | None = None  # None with quorum "none"
    in_sync: list[str] = msgspec.field(default_factory=list)  # whose copies hold every acknowledged write


class ArbiterView(msgspec.Struct, frozen=True, kw_only=True):
    """The outside vote as the answering node finds it."""

    kind: str  # "dynamodb" | "s3"
    trouble: str = ""  # why it doesn't answer; empty: nothing is known against it
    since_time: float | None = None  # of the trouble, as far as the events kept tell


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Datagrams and frames dropped by the comm layer since the agent started, by reason."""

    heartbeats_sent: int = 0
    heartbeats_heard: int = 0
    dropped: dict[str, int] = msgspec.field(default_factory=dict)


class StatusReport(msgspec.Struct, frozen=True, kw_only=True):
    """`kage status`."""

    cluster: str
    node: str  # who answers
    version: str
    config_digest: str
    quorum: str  # "none" | "majority": of the nodes' votes, and the arbiter's
    time: float
    warnings: list[str]
    nodes: list[NodeView]
    hierarchies: list[HierarchyView]
    arbiter: ArbiterView | None = None  # None: none is configured
    counters: Counters = Counters()


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `kage events`."""

    id: int
    time: float
    at_ms: int  # CLOCK_BOOTTIME on the node that noticed it
    node: str
    kind: str
    severity: str  # "info" | "warning" | "alarm"
    text: str
    hierarchy: str | None = None
    tag: str | None = None
    peer: str | None = None
    action: str | None = None
    took_ms: int | None = None
    reason: str | None = None  # of a decision about who runs a hierarchy, e.g. "owner-lost"


class TimelineStep(msgspec.Struct, frozen=True, kw_only=True):
    """One bar of a timeline's picture."""

    name: str  # "silence", "ownership", "restore fs-dir1", …
    start_ms: int  # from the timeline's start
    length_ms: int
    outcome: str = "ok"


class TimelineReport(msgspec.Struct, frozen=True, kw_only=True):
    """How one failover, switchover or start went, seen from the node that took over."""

    hierarchy: str
    node: str
    cause: str  # "failover" | "switchover" | "start"
    why: str
    start_time: float
    total_ms: int
    complete: bool  # reached in service
    steps: list[TimelineStep]


class AnswerReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request."""

    accepted: bool
    text: str


class ConfigReport(msgspec.Struct, frozen=True, kw_only=True):
    """`kage config show`."""

    source: str
    digest: str
    loaded_time: float
    text: str
    notes: list[str]


class MoveReport(msgspec.Struct, frozen=True, kw_only=True):
    """`kage in-service`, `out-of-service`, `recover`, `confirm`: what was answered, and what became of it."""

    accepted: bool
    reached: bool | None  # None: not waited for
    text: str
    took_ms: int


class ProblemView(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a configuration file."""

    line: int  # 1 is the first; 0: the whole file
    key: str
    message: str


class FindingView(msgspec.Struct, frozen=True, kw_only=True):
    """Something on this node that would make an action fail, and what mends it."""

    tag: str  # of the resource, or the key of the file that it is about
    problem: str
    remedy: str
    certain: bool = True  # False: nobody could tell


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """`kage check`."""

    source: str
    valid: bool
    digest: str = ""
    node: str | None = None  # whose side was looked at; None: the file alone
    problems: list[ProblemView] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    findings: list[FindingView] = msgspec.field(default_factory=list)


class DoctorView(msgspec.Struct, frozen=True, kw_only=True):
    """What one check of `kage doctor` says of one thing."""

    group: str  # "configuration" | "host" | "time limits" | "account"
    check: str  # its name in docs/cli.md
    outcome: str  # "ok" | "problem" | "unknown"
    text: str
    remedy: str = ""


class DoctorReport(msgspec.Struct, frozen=True, kw_only=True):
    """`kage doctor`."""

    source: str
    digest: str
    node: str  # where it was looked from
    notes: list[str] = msgspec.field(default_factory=list)
    rows: list[DoctorView] = msgspec.field(default_factory=list)


class NotifyTestView(msgspec.Struct, frozen=True, kw_only=True):
    """`kage notify test`: what became of one destination's test notice."""

    name: str
    kind: str  # "sns" | "ses" | "smtp" | "webhook" | "script" | "cloudwatch"
    sent: bool
    why: str  # not
    took_ms: int
