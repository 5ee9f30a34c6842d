"""What nodes tell each other: a report on heartbeats, and a few messages.

A report is a node's whole visible state. It is sent again with every heartbeat, so a lost datagram
costs time and never truth; messages only carry what must be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.ids import HierarchyId, NodeId, RequestId, Tag
from agent.core.states import Action, Phase, Reason, ResourceState


@dataclass(frozen=True, kw_only=True)
class Register:
    """Who owns a hierarchy. The newest, by (term, revision), is the truth.

    The owner may run the hierarchy; nobody else may. `owner is None` after a release.
    """

    hierarchy: HierarchyId
    term: int = 0  # one more with each takeover; 0: never owned
    revision: int = 0  # one more with each change
    owner: NodeId | None = None
    previous: NodeId | None = None  # the owner before a release: preferred at a cold start
    successor: NodeId | None = None  # whom a release hands it to
    held: bool = False  # out of service because an operator said so: nobody starts it unasked
    unattended: bool = False  # the owner's agent was stopped in good order; its services go on running
    suspects: tuple[NodeId, ...] = ()  # it was taken from these, and they aren't known to be harmless
    in_sync: tuple[NodeId, ...] = ()  # nodes whose replica holds every acknowledged write; (): no replica


@dataclass(frozen=True, kw_only=True)
class VoteRecord:
    """The newest vote of one voter for one hierarchy."""

    hierarchy: HierarchyId
    term: int = 0
    candidate: NodeId | None = None


@dataclass(frozen=True, kw_only=True)
class ArbiterRecord:
    """What the arbiter holds for one hierarchy: its vote, and the newest register its writer knew."""

    register: Register
    term: int
    candidate: NodeId | None  # None: released


@dataclass(frozen=True, kw_only=True)
class Stance:
    """What a node holds, gave up and promised of one hierarchy, in mode `majority`."""

    claims: int = 0  # the term in which the sender owns it and asks to be granted; 0: it doesn't
    gave_up: int = 0  # up to this term the sender never again counts a grant, and nothing runs there by one
    vote: VoteRecord | None = None  # the sender's durable vote; whoever it is for is granted


@dataclass(frozen=True, kw_only=True)
class ResourceReport:
    """One resource on the reporting node."""

    tag: Tag
    state: ResourceState
    action: Action | None = None  # in progress
    why: str = ""  # of a failure or an unknown; at most 120 characters


@dataclass(frozen=True, kw_only=True)
class HierarchyReport:
    """One hierarchy on the reporting node."""

    register: Register
    stance: Stance | None = None  # None in mode `none`
    phase: Phase
    probed: bool  # it is known what of it runs there
    eligible: bool  # could take it over now
    why_not: str = ""  # why it isn't eligible
    waits_for: Reason | None = None  # what keeps it, though it is its turn, from taking or starting it
    resources: tuple[ResourceReport, ...] = ()  # children first


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a node says of itself. A higher revision replaces a lower one of the same incarnation."""

    revision: int
    hierarchies: tuple[HierarchyReport, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BringInService:
    """An operator wants the hierarchy on `node` (None: wherever it fits best)."""

    hierarchy: HierarchyId
    node: NodeId | None = None
    owner_is_off: NodeId | None = None  # the operator's word that this owner's machine runs nothing any more


@dataclass(frozen=True, kw_only=True)
class TakeOutOfService:
    """An operator wants the hierarchy stopped everywhere, and to stay so."""

    hierarchy: HierarchyId


@dataclass(frozen=True, kw_only=True)
class Recover:
    """An operator wants a resource repaired, and remembered failures of its hierarchy forgotten."""

    hierarchy: HierarchyId
    tag: Tag
    here_only: bool = False  # a peer asked on the operator's behalf: don't ask others again


@dataclass(frozen=True, kw_only=True)
class Confirm:
    """An operator's answer to whether a hierarchy shall be taken from its lost owner."""

    hierarchy: HierarchyId
    take: bool


@dataclass(frozen=True, kw_only=True)
class TrustReplica:
    """An operator's word that one node's copy of a hierarchy's data is the truth from now on.

    `first`: only if no copy counts yet. Otherwise what only other copies hold is lost.
    """

    hierarchy: HierarchyId
    node: NodeId
    first: bool


@dataclass(frozen=True, kw_only=True)
class AskKit:
    """An operator asks something of one resource's kit on one node: nothing that the core decides."""

    hierarchy: HierarchyId
    tag: Tag
    node: NodeId | None  # None: wherever it is in service
    verb: str
    arguments: tuple[tuple[str, str], ...] = ()  # names and values


Command = BringInService | TakeOutOfService | Recover | Confirm | TrustReplica | AskKit


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A command handed on to the node that can carry it out."""

    request: RequestId
    command: Command


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer to a forwarded command."""

    request: RequestId
    accepted: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class VoteRequest:
    """A candidate asks for a vote in a new term."""

    hierarchy: HierarchyId
    term: int
    register: Register  # the newest the candidate knows


@dataclass(frozen=True, kw_only=True)
class VoteReply:
    """A voter's answer; `term` is of its newest vote when it refuses."""

    hierarchy: HierarchyId
    term: int
    granted: bool
    register: Register  # the newest the voter knows


Message = Forward | Reply | VoteRequest | VoteReply
