"""What can happen to a node. Each event carries the instant it happened at."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.ids import ActionId, HierarchyId, Instant, NodeId, PathId, RequestId, Tag
from agent.core.messages import ArbiterRecord, Command, Message, Report
from agent.core.model import Cluster
from agent.core.states import ArbiterOutcome, Outcome


@dataclass(frozen=True)
class HeartbeatHeard:
    """An authentic heartbeat came in on one comm path."""

    at: Instant
    peer: NodeId
    path: PathId
    incarnation: int  # of the peer's agent; another one is another life
    answers: Instant | None  # when I sent the recent heartbeat that it echoes; None: it proves no life
    revision: int | None = None  # of the peer's report when it was sent


@dataclass(frozen=True)
class ReportHeard:
    """A peer's newest report."""

    at: Instant
    peer: NodeId
    incarnation: int
    report: Report


@dataclass(frozen=True)
class PeerLeft:
    """A peer said goodbye: its agent ends in good order; what it runs may go on running."""

    at: Instant
    peer: NodeId
    incarnation: int


@dataclass(frozen=True)
class MessageHeard:
    """A peer's message."""

    at: Instant
    peer: NodeId
    message: Message


@dataclass(frozen=True)
class ActionFinished:
    """An action this node started has ended; nothing of it is left running."""

    at: Instant
    action: ActionId
    outcome: Outcome
    detail: str = ""  # of a failure: the reason and the tail of the output


@dataclass(frozen=True)
class Persisted:
    """The durable state of that serial is on disk."""

    at: Instant
    serial: int


@dataclass(frozen=True)
class PersistFailed:
    """It is not on disk, and won't be."""

    at: Instant
    serial: int
    why: str


@dataclass(frozen=True)
class CommandGiven:
    """An operator's command reached this node."""

    at: Instant
    request: RequestId
    command: Command


@dataclass(frozen=True)
class ArbiterAnswered:
    """The arbiter answered, or didn't in time."""

    at: Instant
    request: int
    outcome: ArbiterOutcome
    record: ArbiterRecord | None = None  # as it is now
    version: str | None = None
    why: str = ""


@dataclass(frozen=True)
class OutsideProbed:
    """So many of the addresses of `isolation_check` answered."""

    at: Instant
    reached: int
    asked: int


@dataclass(frozen=True)
class FencingEnded:
    """A fence ended: with evidence that the node is harmless, or without."""

    at: Instant
    node: NodeId
    fenced: bool
    text: str  # the evidence, or why there is none


@dataclass(frozen=True)
class KitAnswered:
    """What a kit said to what an operator asked of it."""

    at: Instant
    request: RequestId
    accepted: bool
    text: str


@dataclass(frozen=True)
class ReplicasChanged:
    """Exactly these nodes' copies of one resource's data hold every acknowledged write, says its kit here."""

    at: Instant
    hierarchy: HierarchyId
    tag: Tag
    in_sync: tuple[NodeId, ...]


@dataclass(frozen=True)
class ConfigLoaded:
    """A checked configuration replaces the one before; nodes and paths are the same."""

    at: Instant
    cluster: Cluster


@dataclass(frozen=True)
class Tick:
    """Time has passed. Comes after each heartbeat interval in which nothing else happened."""

    at: Instant


@dataclass(frozen=True)
class Departing:
    """The machine is about to stop, and its agent with it: what runs here has to end first."""

    at: Instant


@dataclass(frozen=True)
class Stopping:
    """This agent was asked to end. Applications go on running."""

    at: Instant


Event = (
    HeartbeatHeard
    | ReportHeard
    | PeerLeft
    | MessageHeard
    | ActionFinished
    | Persisted
    | PersistFailed
    | CommandGiven
    | ArbiterAnswered
    | OutsideProbed
    | FencingEnded
    | KitAnswered
    | ReplicasChanged
    | ConfigLoaded
    | Tick
    | Departing
    | Stopping
)
