"""Decides which node should run a hierarchy that nobody runs.

The same rules on every node, over what each sees; a node acts on them only for itself. In order:
held stays held; a living owner keeps it; whom a release named; the last owner; a node on which it
already runs; priority. Those who aren't first wait one `dead_after` for each that is before them,
so that a first that never takes it can't keep it down.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agent.core.ids import FOREVER, Instant, NodeId, later
from agent.core.messages import HierarchyReport, Register
from agent.core.model import Hierarchy
from agent.core.states import PeerStanding, Reason

_ABSENT: dict[PeerStanding | None, str] = {
    PeerStanding.NEVER_HEARD: "it was never heard",
    PeerStanding.LOST: "it is lost",
    PeerStanding.LEFT: "its agent has left",
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One node that may run the hierarchy, as seen from here."""

    node: NodeId
    standing: PeerStanding | None  # None: this node itself
    why_not: str  # why it couldn't take it over; "" if it could
    runs_some: bool = False  # resources of it are in service there though nobody owns it

    @property
    def fit(self) -> bool:
        """By its own account."""
        return not self.why_not

    @property
    def present(self) -> bool:
        """Alive, as far as this node knows."""
        return self.standing in (None, PeerStanding.ALIVE)


@dataclass(frozen=True, kw_only=True)
class View:
    """What the decision rests on."""

    me: NodeId
    at: Instant
    hierarchy: Hierarchy
    register: Register
    candidates: tuple[Candidate, ...]  # by priority
    owner_standing: PeerStanding | None  # None: no owner, or this node
    settled: bool  # every peer's word on it was heard, or the grace for that is over
    free_since: Instant  # since when this node could take it, were it its turn
    patience_ms: int


@dataclass(frozen=True)
class Verdict:
    """Take it or not, and why."""

    take: bool
    reason: Reason
    until: Instant = FOREVER  # it stands so long if nothing but time passes


def decide(view: View) -> Verdict:
    """Should this node take the hierarchy now?"""
    register = view.register
    if register.held:
        return Verdict(take=False, reason=Reason.HELD)
    if register.owner is not None and not (blocked := _owner_gone(view)).take:
        return blocked
    if view.me not in [each.node for each in view.candidates if each.fit]:
        return Verdict(take=False, reason=Reason.NOT_FIT)
    if not view.settled and register.successor != view.me:
        return Verdict(take=False, reason=Reason.WAITING)
    position = [each.node for each in ranked(view)].index(view.me)
    turn_at = later(view.free_since, position * view.patience_ms)
    if view.at < turn_at:
        return Verdict(take=False, reason=Reason.NOT_FIRST, until=turn_at)
    return Verdict(take=True, reason=_why(view))


def ranked(view: View) -> list[Candidate]:
    """The fit and present candidates, the one who should run it first."""
    register, order = view.register, view.hierarchy.nodes

    def key(each: Candidate) -> tuple[bool, bool, bool, int]:
        return (
            each.node != register.successor,
            register.successor is not None or each.node != register.previous,
            not each.runs_some,
            order.index(each.node),
        )

    return sorted((each for each in view.candidates if each.fit and each.present), key=key)


def _owner_gone(view: View) -> Verdict:
    """take=True only where the owner certainly can't be waited for."""
    if view.register.unattended:
        return Verdict(take=False, reason=Reason.OWNER_LEFT)
    if view.register.owner == view.me:  # owned but not held: the change is on its way
        return Verdict(take=False, reason=Reason.OWNER_RUNS_IT)
    match view.owner_standing:
        case PeerStanding.LOST:
            return Verdict(take=True, reason=Reason.OWNER_LOST)
        case PeerStanding.LEFT:
            return Verdict(take=False, reason=Reason.OWNER_LEFT)
        case PeerStanding.NEVER_HEARD if view.settled:
            return Verdict(take=True, reason=Reason.OWNER_LOST)
        case PeerStanding.NEVER_HEARD:
            return Verdict(take=False, reason=Reason.WAITING)
        case _:
            return Verdict(take=False, reason=Reason.OWNER_RUNS_IT)


def _why(view: View) -> Reason:
    if view.register.owner is not None:
        return Reason.OWNER_LOST
    if view.register.successor == view.me:
        return Reason.HANDED_OVER
    if view.register.term == 0:
        return Reason.FIRST_START
    return Reason.LAST_OWNER if view.register.previous == view.me else Reason.RELEASED


def why_not_on(report: HierarchyReport | None) -> str:
    """What a node's own report says against its taking the hierarchy."""
    if report is None:
        return "it has told nothing of it yet"
    return "" if report.eligible else report.why_not or "it can't"


def why_nobody(candidates: Iterable[Candidate]) -> str:
    """Why none of the other nodes takes it: in words for an operator."""
    others = [each for each in candidates if each.standing is not None]
    reasons = ", ".join(f"{each.node}: {_ABSENT.get(each.standing, each.why_not)}" for each in others)
    return f"no other node is fit to take it ({reasons})" if others else "it has no other node"
