"""Authority in mode `quorum = "none"`: whoever is alive may own.

Keeps: a takeover is durable before it is told or acted on; the newest register heard wins, so when
parted nodes meet again all but one of two owners step down. It does not keep two parted nodes from
owning at the same time: that is what the mode lacks, and why it is shown as a permanent warning.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.core.authority.contract import Standing
from agent.core.authority.registers import is_newer, released, taken
from agent.core.effects import Durable, Effect, Failure, Kind, Notice, Notify, Persist, Severity
from agent.core.events import ArbiterAnswered, HeartbeatHeard
from agent.core.ids import FOREVER, HierarchyId, Instant, NodeId, later
from agent.core.messages import Register, Stance, VoteReply, VoteRequest
from agent.core.model import Cluster
from agent.core.state import OwnershipLife, Pending

STORE_RETRY_MS = 1_000


class LivenessBased:
    """Registers of every hierarchy, and the changes of them that wait for the disk."""

    def __init__(
        self,
        me: NodeId,
        life: OwnershipLife,
        cluster: Cluster,
        failures: Callable[[], list[Failure]],
        unfinished: Callable[[], tuple[HierarchyId, ...]],
    ) -> None:
        self._me, self._life, self._cluster = me, life, cluster
        self._failures, self._unfinished = failures, unfinished

    def standing(self, hierarchy: HierarchyId, at: Instant) -> Standing:  # noqa: ARG002 (modes with leases need it)
        """HELD as soon as the register that says so is durable, until a newer one is heard."""
        if hierarchy in self._life.pending:
            return Standing.SEEKING
        return Standing.HELD if self._life.registers[hierarchy].owner == self._me else Standing.NONE

    def register(self, hierarchy: HierarchyId) -> Register:
        """The newest register that this node knows; its own takeovers only once they are durable."""
        return self._life.registers[hierarchy]

    def able(self, at: Instant) -> bool:  # noqa: ARG002 (modes with leases need it)
        """Could a takeover be recorded? Not after a failure, until a write went well."""
        return not self._life.store_failed

    def pass_time(self, at: Instant) -> list[Effect]:
        """Try a store that failed again each second: what it lacks may be a release or a failure."""
        if not self._life.store_failed or at < self._life.store_retry_at:
            return []
        self._life.store_retry_at = later(at, STORE_RETRY_MS)
        return [self.record()]

    def seek(self, hierarchy: HierarchyId, at: Instant) -> list[Effect]:  # noqa: ARG002 (likewise)
        """Become the owner as soon as that is on disk."""
        return self._own(taken(self._life.registers[hierarchy], self._me))

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
        effects = list[Effect]()
        if self._life.store_failed:
            self._life.store_failed = ""
            text = "the store can be written again"
            mended = Notice(at=at, kind=Kind.STORE_MENDED, severity=Severity.INFO, text=text)
            effects.append(Notify(mended))
        for name, pending in list(self._life.pending.items()):
            if pending.serial <= serial:
                del self._life.pending[name]
                self._life.registers[name] = pending.register
                text = f"this node owns it: term {pending.register.term}"
                effects.append(_tell(pending.register, Kind.OWNERSHIP_TAKEN, at, text))
        return effects

    def persist_failed(self, serial: int, why: str, at: Instant) -> list[Effect]:
        """No takeover comes true; what already held goes on."""
        if serial == self._life.serial:  # else a newer record, with the same takeovers, is on its way
            self._life.pending.clear()
        known, self._life.store_failed = bool(self._life.store_failed), why
        self._life.store_retry_at = later(at, STORE_RETRY_MS)
        if known:
            return []
        text = f"{why}; what runs goes on, but this node takes nothing over until its store can be written"
        return [Notify(Notice(at=at, kind=Kind.STORE_FAILED, severity=Severity.ALARM, text=text))]

    def record(self) -> Persist:
        """Everything durable as it is now."""
        self._life.serial += 1
        return Persist(self._life.serial, self._durable())

    def _own(self, register: Register) -> list[Effect]:
        """It is mine as soon as that is on disk."""
        self._life.serial += 1
        self._life.pending[register.hierarchy] = Pending(serial=self._life.serial, register=register)
        return [Persist(self._life.serial, self._durable())]

    def _durable(self) -> Durable:
        pending = {name: each.register for name, each in self._life.pending.items()}
        registers = self._life.registers | pending
        return Durable(
            registers=tuple(registers.values()),
            failures=tuple(self._failures()),
            unfinished=self._unfinished(),
        )


def _tell(
    register: Register, kind: Kind, at: Instant, text: str, severity: Severity = Severity.INFO
) -> Notify:
    return Notify(Notice(at=at, kind=kind, severity=severity, hierarchy=register.hierarchy, text=text))
