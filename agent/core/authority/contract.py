"""What the core asks of a mode of authority, whichever it is.

The invariant that each mode keeps in its own way: a node starts nothing of a hierarchy unless its
standing is HELD. A standing becomes HELD only after what it rests on is durable.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from agent.core.effects import Effect, Persist
from agent.core.events import ArbiterAnswered, HeartbeatHeard
from agent.core.ids import HierarchyId, Instant, NodeId
from agent.core.messages import Register, Stance, VoteReply, VoteRequest
from agent.core.states import Trust


class Standing(Enum):
    """A node's claim to a hierarchy."""

    NONE = "none"
    SEEKING = "seeking"  # asked for, or waiting for the disk
    HELD = "held"
    EXPIRED = "expired"  # the grants have run out: start nothing, ask anew, be harmless in time


class Authority(Protocol):
    """Every method returns the effects that it wants; a change of standing is read by `standing`."""

    def standing(self, hierarchy: HierarchyId, at: Instant) -> Standing:
        """May this node run it now?"""

    def register(self, hierarchy: HierarchyId) -> Register:
        """The newest register that this node knows."""

    def told(self, hierarchy: HierarchyId) -> Register:
        """The register as peers may hear it."""

    def able(self, at: Instant) -> bool:
        """Could a takeover be made durable, as far as is known?"""

    def pass_time(self, at: Instant) -> list[Effect]:
        """What time alone brings about."""

    def seek(self, hierarchy: HierarchyId, at: Instant, trust: Trust = Trust.IN_SYNC) -> list[Effect]:
        """Try to become the owner; `trust` says why this node's copy of replicated data may be used."""

    def blocked_until(self, hierarchy: HierarchyId, at: Instant) -> Instant:
        """Until when `seek` does nothing if promises are but renewed; NEVER if it may do something."""

    def release(
        self, hierarchy: HierarchyId, at: Instant, *, successor: NodeId | None, held: bool
    ) -> list[Effect]:
        """Give it up (or, without an owner, record that it is held out of service)."""

    def let_go(self, hierarchy: HierarchyId, at: Instant) -> None:
        """Nothing of it runs here, by whatever authority there was."""

    def attend(self, hierarchy: HierarchyId, *, attended: bool) -> list[Effect]:
        """The owner's agent looks after it again, or is about to stop while its services run."""

    def amend(self, hierarchy: HierarchyId, *, in_sync: tuple[NodeId, ...]) -> list[Effect]:
        """The owner says which copies hold every acknowledged write; in force once it is `agreed`."""

    def clear(self, hierarchy: HierarchyId, harmless: NodeId) -> list[Effect]:
        """The owner knows that a node from which it was taken runs nothing of it any more."""

    def agreed(self, hierarchy: HierarchyId) -> bool:
        """Does everybody who may own it later know its register as it is now?"""

    def stance(self, hierarchy: HierarchyId) -> Stance | None:
        """What heartbeats say of it, beside the register."""

    def safe_until(self, hierarchy: HierarchyId) -> Instant:
        """Until when it may run here, with the time to make it harmless: nobody else starts it before."""

    def heard(self, event: HeartbeatHeard) -> list[Effect]:
        """A peer's heartbeat came in; it may renew promises and grants."""

    def reported(self, peer: NodeId, at: Instant) -> list[Effect]:
        """A peer's newest report, beyond the registers in it (`hear` takes those)."""

    def asked(self, peer: NodeId, message: VoteRequest, at: Instant) -> list[Effect]:
        """A candidate wants this node's vote."""

    def answered(self, peer: NodeId, message: VoteReply, at: Instant) -> list[Effect]:
        """A voter answered this node."""

    def arbiter_answered(self, event: ArbiterAnswered) -> list[Effect]:
        """The arbiter answered, or didn't in time."""

    def next_deadline(self, at: Instant) -> Instant | None:
        """When time alone will bring something about."""

    def quiet_until(self, at: Instant) -> Instant:
        """Until when time alone brings nothing about if grants are but renewed; NEVER: it can't be told."""

    def hear(self, register: Register, at: Instant) -> list[Effect]:
        """A peer told its newest register."""

    def persisted(self, serial: int, at: Instant) -> list[Effect]:
        """The record of that serial is durable."""

    def record(self) -> Persist:
        """Everything durable as it is now, to be written once more."""

    def persist_failed(self, serial: int, why: str, at: Instant) -> list[Effect]:
        """It isn't, and won't be."""
