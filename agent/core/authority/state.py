"""What a node knows of its authority in mode `quorum = "majority"`, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from agent.core.ids import NEVER, HierarchyId, Instant, NodeId
from agent.core.messages import ArbiterRecord, Register, VoteRecord, VoteReply
from agent.core.states import Trust


@dataclass
class VoterLife:
    """One hierarchy's vote, and until when it binds."""

    vote: VoteRecord
    bound_until: Instant  # no vote for anybody else before this
    vote_serial: int = 0  # of the record that holds the vote; it isn't told before that is on disk
    register_serial: int = 0  # of the one that holds the register


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
    known_at: Instant = NEVER  # when the newest request that was answered was sent
    asked: int = 0  # id of the request under way; 0: none
    asked_at: Instant = NEVER
    asked_term: int = 0  # of a write under way; 0: a read
    next_at: Instant = NEVER  # no request before this
    trouble: str = ""  # why it doesn't answer


class Stage(Enum):
    """How far this node is with a term of its own."""

    RECORDING = "recording"  # its own vote is on its way to the disk
    ASKING = "asking"
    OWNING = "owning"  # won; held once the register that says so is durable


@dataclass
class Claim:
    """A term that this node campaigns for or owns."""

    lease: LeaseLife
    stage: Stage
    since: Instant  # of the stage
    despite_hold: bool = False  # an operator asked for it though it was held out of service
    despite_owner: NodeId | None = None  # … or said that this owner, whose agent was stopped, is off
    trust: Trust = Trust.IN_SYNC  # … or said that this node's copy of the data is the truth
    asked_at: Instant = NEVER  # ASKING: when the peers were last asked
    serial: int = 0  # OWNING: of the record that holds the register of this term
    renewed: bool = False  # OWNING: a majority granted it in this life of the agent
    expired_since: Instant | None = None  # OWNING: when the grants had run out
    patience_ms: int = 0  # how long after that it is given up


@dataclass(frozen=True)
class Echo:
    """A peer's heartbeat that answers one of this node's, but whose report isn't at hand yet."""

    incarnation: int
    revision: int
    answers: Instant


@dataclass(frozen=True)
class Owed:
    """An answer to a candidate, to be sent once the vote is durable."""

    serial: int
    to: NodeId
    reply: VoteReply


@dataclass
class SeatLife:
    """One hierarchy's authority on this node."""

    voter: VoterLife
    kept: Register  # the newest register that is on disk here
    arbiter: ArbitrationLife = field(default_factory=ArbitrationLife)
    claim: Claim | None = None
    gave_up: int = 0  # up to this term this life never again counts a grant
    let_go: int = 0  # … and runs nothing by one that it counted: so far its voters are free
    owed: Owed | None = None
    denials: int = 0  # campaigns in a row that no majority answered
    refusals: int = 0  # … and that a voter refused
    retry_at: Instant = NEVER  # no campaign before this


@dataclass
class QuorumLife:
    """Authority in mode `majority`."""

    seats: dict[HierarchyId, SeatLife] = field(default_factory=dict)
    echoes: dict[NodeId, Echo] = field(default_factory=dict)
    request: int = 0  # id of the newest one to the arbiter
