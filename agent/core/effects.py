"""What a node wants done. The order of a step's effects is part of the contract.

`in_order` puts them so: persist, then say, then act, then tell people. What depends on a durable
record is not said or done before `Persisted` came back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from agent.core.ids import ActionId, HierarchyId, Instant, NodeId, RequestId, Tag
from agent.core.messages import ArbiterRecord, Message, Register, Report, VoteRecord
from agent.core.states import Action, Reason


@dataclass(frozen=True, kw_only=True)
class Failure:
    """This node failed to run a hierarchy and isn't tried again until `until`."""

    hierarchy: HierarchyId
    tag: Tag
    until: Instant
    why: str


@dataclass(frozen=True, kw_only=True)
class Durable:
    """What must survive a restart of the agent."""

    registers: tuple[Register, ...] = ()
    failures: tuple[Failure, ...] = ()
    unfinished: tuple[HierarchyId, ...] = ()  # not brought down for certain, whoever owns them now
    votes: tuple[VoteRecord, ...] = ()


@dataclass(frozen=True)
class Persist:
    """Make this durable, then answer `Persisted(serial)` or `PersistFailed(serial)`."""

    serial: int
    durable: Durable


@dataclass(frozen=True)
class Publish:
    """Say this on heartbeats from now on, and at once on every path."""

    report: Report


@dataclass(frozen=True)
class Send:
    """Send a message by the best comm path that is up; lost if there is none."""

    to: NodeId
    message: Message


@dataclass(frozen=True)
class AskArbiter:
    """Read the arbiter's record, or write it on condition; `ArbiterAnswered(request)` comes back."""

    request: int
    hierarchy: HierarchyId
    write: ArbiterRecord | None  # None: read
    expected: str | None  # version that the write rests on; None: that there is no record


@dataclass(frozen=True)
class ProbeOutside:
    """See how many addresses of `isolation_check` answer; `OutsideProbed` comes back within seconds."""


@dataclass(frozen=True)
class SayGoodbye:
    """Tell every peer that this agent ends in good order: nobody takes over what it leaves running."""


@dataclass(frozen=True)
class StartAction:
    """Run a kit's action; `ActionFinished` comes back within `limit_ms` plus the time a kill takes."""

    id: ActionId
    hierarchy: HierarchyId
    tag: Tag
    action: Action
    limit_ms: int


@dataclass(frozen=True)
class ControlKit:
    """Have a kit do what an operator asks; exactly one `KitAnswered(request)` comes back within seconds."""

    request: RequestId
    tag: Tag
    verb: str
    arguments: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class CancelAction:
    """End an action early; `ActionFinished` still comes back."""

    id: ActionId


@dataclass(frozen=True)
class Fence:
    """Make another node harmless, with evidence; `FencingEnded(node)` comes back."""

    node: NodeId


@dataclass(frozen=True)
class FenceMyself:
    """Make this node harmless at once: what it runs can't be stopped otherwise."""

    reason: str


@dataclass(frozen=True)
class Answer:
    """Answer an operator's request that came in here."""

    request: RequestId
    accepted: bool
    text: str


class Severity(Enum):
    """How loudly a notice is told."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


class Kind(Enum):
    """What a notice is about; the same words in `kage events`, metrics and docs."""

    PATH_UP = "path-up"
    PATH_DOWN = "path-down"
    PEER_ALIVE = "peer-alive"
    PEER_LOST = "peer-lost"
    PEER_LEFT = "peer-left"
    OWNERSHIP_SOUGHT = "ownership-sought"
    OWNERSHIP_TAKEN = "ownership-taken"
    OWNERSHIP_RELEASED = "ownership-released"
    OWNERSHIP_LOST = "ownership-lost"
    OWNERSHIP_DENIED = "ownership-denied"
    ARBITER_TROUBLE = "arbiter-trouble"
    ARBITER_MENDED = "arbiter-mended"
    MOVE_BEGUN = "move-begun"
    FAILOVER_BEGUN = "failover-begun"
    ADOPTED = "adopted"
    ACTION_FINISHED = "action-finished"
    RESOURCE_FAILED = "resource-failed"
    RESOURCE_RECOVERED = "resource-recovered"
    RESOURCE_UNKNOWN = "resource-unknown"
    IN_SERVICE = "in-service"
    OUT_OF_SERVICE = "out-of-service"
    NOWHERE_TO_GO = "nowhere-to-go"
    FAILURES_CLEARED = "failures-cleared"
    FENCING_MYSELF = "fencing-myself"
    FENCING_PEER = "fencing-peer"
    PEER_FENCED = "peer-fenced"
    FENCING_FAILED = "fencing-failed"
    ISOLATED = "isolated"
    UNGUARDED = "unguarded"
    CONFIRMATION = "confirmation"
    REPLICA_TRUSTED = "replica-trusted"
    REPLICAS_CHANGED = "replicas-changed"
    DUTY_BROKE = "duty-broke"
    DESTINATION_FAILED = "destination-failed"
    DESTINATION_MENDED = "destination-mended"
    STORE_FAILED = "store-failed"
    STORE_MENDED = "store-mended"
    CONFIG_LOADED = "config-loaded"
    CONFIG_REFUSED = "config-refused"
    PAUSED = "paused"
    DEPARTING = "departing"
    COMMAND = "command"


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One thing an operator may want to know, with why it happened."""

    at: Instant
    kind: Kind
    severity: Severity
    text: str
    hierarchy: HierarchyId | None = None
    tag: Tag | None = None
    peer: NodeId | None = None
    action: Action | None = None
    took_ms: int | None = None
    reason: Reason | None = None  # of a decision about who runs a hierarchy


@dataclass(frozen=True)
class Notify:
    """Tell people."""

    notice: Notice


Effect = (
    Persist
    | Publish
    | Send
    | AskArbiter
    | ProbeOutside
    | SayGoodbye
    | StartAction
    | ControlKit
    | CancelAction
    | FenceMyself
    | Fence
    | Answer
    | Notify
)

_RANK: dict[type, int] = {
    Persist: 0,
    Publish: 1,
    Send: 1,
    AskArbiter: 1,
    ProbeOutside: 1,
    SayGoodbye: 1,
    FenceMyself: 2,
    Fence: 2,
    CancelAction: 3,
    StartAction: 4,
    ControlKit: 4,
    Answer: 5,
    Notify: 6,
}


def in_order(effects: Iterable[Effect]) -> list[Effect]:
    """Persist, say, act, tell; effects of one rank keep the order in which they were decided."""
    return sorted(effects, key=lambda effect: _RANK[type(effect)])
