"""Authority in mode `quorum = "none"`: whoever is alive may own.

Keeps: a takeover is durable before it is told or acted on; the newest register heard wins, so when
parted nodes meet again all but one of two owners step down. It does not keep two parted nodes from
owning at the same time: that is what the mode lacks, and why it is shown as a permanent warning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from agent.core.authority.contract import Standing
from agent.core.authority.ledger import Ledger
from agent.core.authority.registers import cleared, is_newer, released, taken
from agent.core.effects import Durable, Effect, Kind, Notice, Notify, Persist, Severity
from agent.core.events import ArbiterAnswered, HeartbeatHeard
from agent.core.ids import FOREVER, NEVER, HierarchyId, Instant, NodeId
from agent.core.messages import Register, Stance, VoteReply, VoteRequest
from agent.core.model import Cluster
from agent.core.state import OwnershipLife, Pending
from agent.core.states import Trust


class LivenessBased:
    """Registers of every hierarchy, and the changes of them that wait for the disk."""

    def __init__(
        self,
        me: NodeId,
        life: OwnershipLife,
        cluster: Cluster,
        beside: Callable[[], Durable],  # what else is to be durable
    ) -> None:
        self._me, self._life, self._cluster, self._beside = me, life, cluster, beside
        self._ledger = Ledger(life, self._durable)

    def standing(self, hierarchy: HierarchyId, at: Instant) -> Standing:  # noqa: ARG002 (modes with leases need it)
        """HELD as soon as the register that says so is durable, until a newer one is heard."""
        if hierarchy in self._life.pending:
            return Standing.SEEKING
        return Standing.HELD if self._life.registers[hierarchy].owner == self._me else Standing.NONE

    def register(self, hierarchy: HierarchyId) -> Register:
        """The newest register that this node knows; its own takeovers only once they are durable."""
        return self._life.registers[hierarchy]

    def told(self, hierarchy: HierarchyId) -> Register:
        """The same: a release may be told at once, and takeovers are known only once they are durable."""
        return self._life.registers[hierarchy]

    def able(self, at: Instant) -> bool:  # noqa: ARG002 (modes with leases need it)
        """Could a takeover be recorded? Not after a failure, until a write went well."""
        return not self._ledger.failed

    def pass_time(self, at: Instant) -> list[Effect]:
        """Only a store that failed waits for time to pass."""
        return self._ledger.retry(at)

    def seek(
        self,
        hierarchy: HierarchyId,
        at: Instant,  # noqa: ARG002 (likewise)
        trust: Trust = Trust.IN_SYNC,
    ) -> list[Effect]:
        """Become the owner as soon as that is on disk."""
        register = self._life.registers[hierarchy]
        return self._own(taken(register, self._me, register.term + 1, trust=trust))

    def blocked_until(self, hierarchy: HierarchyId, at: Instant) -> Instant:  # noqa: ARG002
        """Nothing blocks it."""
        return NEVER

    def release(
        self, hierarchy: HierarchyId, at: Instant, *, successor: NodeId | None, held: bool
    ) -> list[Effect]:
        """Stop being the owner, at once: forgetting a release is safe, forgetting a takeover isn't."""
        register = released(self._life.registers[hierarchy], successor=successor, held=held)
        self._life.registers[hierarchy] = register
        self._life.pending.pop(hierarchy, None)  # an operator's hold ends a takeover that waits for the disk
        to = successor or "whoever fits"
        text = "released, and held out of service" if held else f"released to {to}"
        return [self.record(), _tell(register, Kind.OWNERSHIP_RELEASED, at, text)]

    def let_go(self, hierarchy: HierarchyId, at: Instant) -> None:
        """Nobody is bound."""

    def attend(self, hierarchy: HierarchyId, *, attended: bool) -> list[Effect]:
        """The owner's agent looks after it again, or is about to stop."""
        return self._amend(replace(self._life.registers[hierarchy], unattended=not attended))

    def amend(self, hierarchy: HierarchyId, *, in_sync: tuple[NodeId, ...]) -> list[Effect]:
        """The owner says which copies hold every acknowledged write."""
        return self._amend(replace(self._life.registers[hierarchy], in_sync=in_sync))

    def clear(self, hierarchy: HierarchyId, harmless: NodeId) -> list[Effect]:
        """In this mode fences come before the takeover; what is left says only that it was one."""
        return self._amend(cleared(self._life.registers[hierarchy], harmless))

    def agreed(self, hierarchy: HierarchyId) -> bool:  # noqa: ARG002
        """Nobody has to agree; it is only to be on disk."""
        return self._ledger.is_idle

    def stance(self, hierarchy: HierarchyId) -> Stance | None:  # noqa: ARG002
        """Nothing beside the register: nobody votes."""
        return None

    def safe_until(self, hierarchy: HierarchyId) -> Instant:  # noqa: ARG002
        """Nobody waits for a lost owner's time to run out, so no watchdog can be set by it."""
        return FOREVER

    def heard(self, event: HeartbeatHeard) -> list[Effect]:  # noqa: ARG002
        """A heartbeat grants nothing."""
        return []

    def reported(self, peer: NodeId, at: Instant) -> list[Effect]:  # noqa: ARG002
        """Registers are all there is."""
        return []

    def asked(self, peer: NodeId, message: VoteRequest, at: Instant) -> list[Effect]:  # noqa: ARG002
        """Nobody votes."""
        return []

    def answered(self, peer: NodeId, message: VoteReply, at: Instant) -> list[Effect]:  # noqa: ARG002
        """Nobody asked."""
        return []

    def arbiter_answered(self, event: ArbiterAnswered) -> list[Effect]:  # noqa: ARG002
        """Nobody asked."""
        return []

    def next_deadline(self, at: Instant) -> Instant | None:  # noqa: ARG002
        """Silences are liveness's to count."""
        return None

    def quiet_until(self, at: Instant) -> Instant:  # noqa: ARG002
        """Only a store that failed is tried again."""
        return NEVER if self._ledger.failed else FOREVER

    def hear(self, register: Register, at: Instant) -> list[Effect]:
        """Believe the newest; step down if it isn't mine any more."""
        name = register.hierarchy
        mine, spec = self._life.registers[name], self._cluster.hierarchy(name)
        if not is_newer(register, mine, spec):
            return []
        self._life.pending.pop(name, None)  # it rested on what was known before: somebody was quicker
        if register.owner == self._me:  # of an earlier life that this node doesn't remember
            return self._own(register)
        self._life.registers[name] = register
        if mine.owner != self._me:
            return [self.record()]
        text = f"{register.owner or 'nobody'} owns it since term {register.term}: stopping here"
        return [self.record(), _tell(register, Kind.OWNERSHIP_LOST, at, text, Severity.ALARM)]

    def persisted(self, serial: int, at: Instant) -> list[Effect]:
        """Takeovers recorded by then now hold."""
        effects = self._ledger.persisted(serial, at)
        for name, pending in list(self._life.pending.items()):
            if pending.serial <= serial:
                del self._life.pending[name]
                self._life.registers[name] = pending.register
                text = f"this node owns it: term {pending.register.term}"
                effects.append(_tell(pending.register, Kind.OWNERSHIP_TAKEN, at, text))
        return effects

    def persist_failed(self, serial: int, why: str, at: Instant) -> list[Effect]:
        """No takeover comes true; what already held goes on."""
        if self._ledger.is_newest(serial):  # else a newer record, with the same takeovers, is on its way
            self._life.pending.clear()
        meaning = "what runs goes on, but this node takes nothing over until its store can be written"
        return self._ledger.persist_failed(why, meaning, at)

    def record(self) -> Persist:
        """Everything durable as it is now."""
        return self._ledger.record()

    def _amend(self, register: Register) -> list[Effect]:
        mine = self._life.registers[register.hierarchy]
        if register == mine:
            return []
        self._life.registers[register.hierarchy] = replace(register, revision=mine.revision + 1)
        return [self.record()]

    def _own(self, register: Register) -> list[Effect]:
        """It is mine as soon as that is on disk."""
        serial = self._ledger.next_serial
        self._life.pending[register.hierarchy] = Pending(serial=serial, register=register)
        return [self._ledger.record()]

    def _durable(self) -> Durable:
        pending = {name: each.register for name, each in self._life.pending.items()}
        registers = self._life.registers | pending
        return replace(self._beside(), registers=tuple(registers.values()))


def _tell(
    register: Register, kind: Kind, at: Instant, text: str, severity: Severity = Severity.INFO
) -> Notify:
    return Notify(Notice(at=at, kind=kind, severity=severity, hierarchy=register.hierarchy, text=text))
