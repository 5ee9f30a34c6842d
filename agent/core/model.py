"""What the cluster is configured to be, as far as a decision can depend on it.

Built by `agent.config` from the TOML file, already checked: names are unique, dependencies exist
and have no circle, `resources` is sorted children first.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.ids import HierarchyId, NodeId, PathId, Tag
from agent.core.states import Fencing, OnAuthorityLost, OnShutdown, Quorum, Switchback


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long each action may take, in milliseconds."""

    restore_ms: int = 300_000
    remove_ms: int = 120_000
    check_ms: int = 20_000
    recover_ms: int = 300_000


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One thing a kit can restore and remove on a node."""

    tag: Tag
    kit: str
    depends_on: tuple[Tag, ...] = ()  # children: restored before, removed after this one
    limits: Limits = Limits()
    check_interval_ms: int = 10_000  # 0: this resource can't be checked (a script without quickCheck)
    check_failures: int = 2  # this many checks in a row out of time are a failure
    local_recovery: bool = True  # try `recover` before a failover; False also where the kit has none
    max_recoveries: int = 3  # more than so many local recoveries …
    recovery_window_ms: int = 3_600_000  # … within this long are a failover
    failover: bool = True  # a failure that can't be mended here moves the hierarchy
    reasserts: bool = False  # others may undo it late (an API without compare-and-set): say it again
    replicated: bool = False  # it holds data of which each node has a copy of its own
    may_lose: str = ""  # what a takeover from a lost owner may cost; "": nothing that was acknowledged


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """An operator is asked before a hierarchy is taken from an owner that is lost."""

    within_ms: int  # after so long without an answer …
    default: bool  # … this is the answer; True: take it


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """Resources that belong together and move as a whole."""

    name: HierarchyId
    resources: tuple[Resource, ...]  # children before parents
    nodes: tuple[NodeId, ...]  # those that may run it, highest priority (1) first
    switchback: Switchback = Switchback.INTELLIGENT
    switchback_after_ms: int = 5_000  # automatic: the better node must have been fit for so long
    failure_timeout_ms: int = 600_000  # how long a node that failed to run it is not tried again
    confirm: Confirmation | None = None  # None: nobody is asked
    on_shutdown: OnShutdown = OnShutdown.SWITCH_OVER  # of the machine that runs it

    def rank(self, node: NodeId) -> int:
        """0 for the node of highest priority."""
        return self.nodes.index(node)

    @property
    def replicated(self) -> tuple[Tag, ...]:
        """The resources whose data each node has a copy of."""
        return tuple(each.tag for each in self.resources if each.replicated)


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """How often nodes speak, and how long silence means death."""

    interval_ms: int = 250
    dead_after_ms: int = 2_000


@dataclass(frozen=True, kw_only=True)
class CommPath:
    """One network by which nodes reach each other."""

    name: PathId
    priority: int  # 1 is tried first for messages; heartbeats use all


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Everything `agent.core` knows of the configuration; the same on every node."""

    name: str
    nodes: tuple[NodeId, ...]
    paths: tuple[CommPath, ...]  # by priority
    hierarchies: tuple[Hierarchy, ...]
    heartbeat: Heartbeat = Heartbeat()
    quorum: Quorum = Quorum.NONE
    witnesses: tuple[NodeId, ...] = ()  # among `nodes`: they vote and run nothing
    arbiter: bool = False  # an outside vote is configured
    takeover_margin_ms: int = 100  # how much later than a grant's end a candidate takes over
    on_authority_lost: OnAuthorityLost = OnAuthorityLost.REBOOT
    stop_within_ms: int = 0  # with OnAuthorityLost.STOP: every candidate waits that long too
    fencing: Fencing = Fencing.NONE  # of a lost owner
    isolation_check: bool = False  # a node that reaches too little of the outside doesn't campaign
    startup_grace_ms: int = 30_000  # how long a cold start waits for nodes not heard yet

    @property
    def voters(self) -> int:
        """How many votes there are."""
        return len(self.nodes) + (1 if self.arbiter else 0)

    @property
    def margin_ms(self) -> int:
        """What a candidate waits beyond the end of a grant, for the old owner to be harmless."""
        return self.takeover_margin_ms + self.stop_within_ms

    def hierarchy(self, name: HierarchyId) -> Hierarchy:
        """The hierarchy of that name; KeyError if there is none."""
        for each in self.hierarchies:
            if each.name == name:
                return each
        raise KeyError(name)
