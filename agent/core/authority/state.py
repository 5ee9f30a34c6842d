"""What a node knows of its authority in mode `quorum = "majority"`, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from agent.core.ids import NEVER, HierarchyId, Instant, NodeId
from agent.core.messages import ArbiterRecord, Register, Report, VoteRecord, VoteReply


@dataclass
class VoterLife:
    """One hierarchy's vote, and until when it binds."""

    vote: VoteRecord
    bound_until: Instant  # no vote for anybody else before this
    serial: int = 0  # of the Persist that holds this vote; it isn't told before that is done
    durable: bool = True


@dataclass
class LeaseLife:
    """A term of ownership: whose grants it rests on."""

    term: int
    until: dict[NodeId, Instant] = field(default_factory=dict)  # by voter; this node isn't among them


@dataclass
class ArbitrationLife:
    """What is known of the arbiter's record."""

    read: bool = False  # it was read at least once; record None then means that there is none
    record: ArbiterRecord | None = None
    version: str | None = None
    seen_at: Instant = NEVER  # when this version was first seen
    asked: int = 0  # id of the request under way; 0: none
    asked_at: Instant = NEVER
    asked_term: int = 0  # of a write under way; 0: a read
    next_at: Instant = NEVER  # no request before this
    trouble: str = ""  # why it doesn't answer


class Stage(Enum):
    """How far this node is with a term of its own."""

    RECORDING = "recording"  # its own vote is on its way to the disk
    ASKING = "asking"
    OWNING = "owning"


@dataclass
class Claim:
    """A term that this node campaigns for or owns."""

    lease: LeaseLife
    stage: Stage
    since: Instant  # of the stage
    best: Register  # the newest register of all voters asked
    expired_since: Instant | None = None  # OWNING: when it was noticed that the grants had run out
    patience_ms: int = 0  # how long after that it must be harmless


@dataclass
class QuorumLife:
    """Authority in mode `majority`."""

    voters: dict[HierarchyId, VoterLife] = field(default_factory=dict)
    arbiter: dict[HierarchyId, ArbitrationLife] = field(default_factory=dict)
    claims: dict[HierarchyId, Claim] = field(default_factory=dict)
    gave_up: dict[HierarchyId, int] = field(default_factory=dict)
    reports: dict[NodeId, tuple[int, Report]] = field(default_factory=dict)  # incarnation, newest
    to_answer: list[tuple[int, NodeId, VoteReply]] = field(
        default_factory=list
    )  # once that serial is durable
    retry_at: dict[HierarchyId, Instant] = field(default_factory=dict)
    request: int = 0  # id of the newest one to the arbiter
