"""Everything a node knows, as plain data.

The whole of it can be written down, copied and compared: the journal begins with it, a replay
resumes from it, a search over small worlds hashes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from agent.core.authority.state import QuorumLife
from agent.core.effects import Failure
from agent.core.ids import NEVER, ActionId, HierarchyId, Instant, NodeId, PathId, RequestId, Tag
from agent.core.messages import AskKit, Register, Report
from agent.core.model import Cluster
from agent.core.states import Action, PathState, PeerStanding, Reason, Trust


@dataclass
class PathLife:
    """One comm path to one peer."""

    heard_at: Instant
    state: PathState = PathState.DOWN


@dataclass
class PeerLife:
    """One peer."""

    paths: dict[PathId, PathLife]
    standing: PeerStanding = PeerStanding.NEVER_HEARD
    since: Instant = NEVER  # of this standing
    incarnation: int = 0
    report: Report | None = None


class Activity(Enum):
    """Whether a resource runs here. UNKNOWN counts as running wherever that is the safe thing to think."""

    UNKNOWN = "unknown"
    ACTIVE = "active"
    INACTIVE = "inactive"


@dataclass
class RunningAction:
    """A kit's action in progress."""

    id: ActionId
    action: Action
    since: Instant
    cancelled: bool = False


@dataclass
class ResourceLife:
    """One resource on this node."""

    activity: Activity = Activity.UNKNOWN
    running: RunningAction | None = None
    probed: bool = False  # looked at once since the agent started
    failed_why: str = ""  # not empty: it failed here and nothing has mended it yet
    unknown_why: str = ""  # not empty: the last check couldn't tell
    needs_recovery: bool = False
    check_at: Instant = NEVER  # when the next check is due
    retry_at: Instant = NEVER  # an action that nobody answered isn't tried before this
    retries: int = 0
    timeouts: int = 0  # checks out of time in a row
    reassert_at: tuple[Instant, ...] = ()  # when it is to be said once more; the next first
    recoveries: list[Instant] = field(default_factory=list)  # local recoveries within the window


class Goal(Enum):
    """What this node wants of a hierarchy here."""

    PROBE = "probe"  # know first
    UP = "up"
    DOWN = "down"


@dataclass
class Trouble:
    """A failure that couldn't be mended in place."""

    tag: Tag
    why: str
    told: bool = False  # people know that there is nowhere to go
    retry_at: Instant = NEVER


@dataclass
class Leaving:
    """Why a running hierarchy is being stopped here, and who gets it."""

    why: str
    successor: NodeId | None = None
    held: bool = False


@dataclass
class Confirming:
    """An operator was asked whether it shall be taken from a lost owner."""

    owner: NodeId
    since: Instant
    answer: bool | None = None


@dataclass
class Trusting:
    """An operator's word that this node's copy of the data may be used; good until then."""

    trust: Trust
    until: Instant


@dataclass
class HierarchyLife:
    """One hierarchy on this node."""

    resources: dict[Tag, ResourceLife]
    goal: Goal = Goal.PROBE
    goal_since: Instant = NEVER
    arrived: bool = False  # the goal was reached once
    stuck: bool = False
    in_part: bool = False  # an earlier agent ran it: a check that fails doesn't prove that nothing is left
    trouble: Trouble | None = None
    tries: int = 0  # local tries with nowhere to go, since the last arrival or hour of calm
    tried_at: Instant = NEVER
    leaving: Leaving | None = None
    begun: Instant = NEVER  # when this node began to look after it
    settled: bool = False  # every peer's word on it was heard, or the grace for that is over
    told_at: Instant = NEVER  # when a peer last told a newer register
    free_since: Instant | None = None  # since when this node could take it, were it its turn
    better_since: Instant | None = None  # since when a node of higher priority is fit
    wanted_until: Instant | None = None  # an operator wants it here: seek it until then
    vouched_off: tuple[NodeId, ...] = ()  # an operator's word that these machines run nothing any more
    confirming: Confirming | None = None
    waits_for: Reason | None = None  # what keeps this node, whose turn it is, from taking or starting it
    harmless_by: Instant | None = None  # without authority: everything must be down here by then
    replicas: dict[Tag, tuple[NodeId, ...]] = field(default_factory=dict)  # as kits here last said
    trusting: Trusting | None = None


@dataclass
class Pending:
    """A takeover on its way to the disk."""

    serial: int  # of the first Persist that holds it
    register: Register


@dataclass
class OwnershipLife:
    """Authority in mode `none`."""

    registers: dict[HierarchyId, Register]
    pending: dict[HierarchyId, Pending] = field(default_factory=dict)
    serial: int = 0  # of the newest Persist
    durable_serial: int = 0  # of the newest Persist that is done
    store_failed: str = ""  # why the newest record isn't on disk
    store_retry_at: Instant = NEVER


@dataclass
class OutsideLife:
    """What is known of `isolation_check`."""

    asked_at: Instant | None = None  # a probe is under way
    answered_at: Instant | None = None
    cut_off: bool = False  # fewer than half answered


@dataclass
class FenceLife:
    """What is known of making one lost peer harmless."""

    under_way: bool = False
    evidence: str = ""  # not empty: it is harmless, and hasn't been heard since
    failed_why: str = ""
    retry_at: Instant = NEVER


@dataclass
class ForwardedCommand:
    """A command handed to a peer; its answer must come by `until`."""

    to: NodeId
    until: Instant


@dataclass(frozen=True)
class AskedKit:
    """What a kit here was asked, and the node whose operator waits for the answer."""

    by: NodeId
    command: AskKit


@dataclass
class NodeState:
    """One node's whole mind."""

    me: NodeId
    cluster: Cluster
    stepped_at: Instant
    peers: dict[NodeId, PeerLife]
    hierarchies: dict[HierarchyId, HierarchyLife]
    ownership: OwnershipLife
    quorum: QuorumLife = field(default_factory=QuorumLife)
    outside: OutsideLife = field(default_factory=OutsideLife)
    fences: dict[NodeId, FenceLife] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    forwarded: dict[RequestId, ForwardedCommand] = field(default_factory=dict)
    asked_kits: dict[RequestId, AskedKit] = field(default_factory=dict)
    next_action: int = 1
    published: Report | None = None
    departing: bool = False  # the machine is about to stop
    stopping: bool = False
    said_goodbye: bool = False
