"""One node of the cluster, as a function of what happens to it.

`Node.step(event)` takes what happened and answers with what to do, in the order of
`effects.in_order`. Everything that a node decides goes through here; the same events give the same
effects, in the simulator, in a replay and at three in the morning.

Most events are ticks, and heartbeats that renew what is known. After a step that decided nothing the node
finds until when nothing can come of those (`_find_quiet`), and cuts a step short until then. That is an
economy and no knowledge: a node that goes on from the state alone decides the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from agent.core import gates, replicas
from agent.core.authority.contract import Standing
from agent.core.commands import expire, forwarded, given, kit_answered, replied
from agent.core.effects import CancelAction, Durable, Effect, Kind, Publish, SayGoodbye, Severity, in_order
from agent.core.endings import finish
from agent.core.events import (
    ActionFinished,
    ArbiterAnswered,
    CommandGiven,
    ConfigLoaded,
    Departing,
    Event,
    FencingEnded,
    HeartbeatHeard,
    KitAnswered,
    MessageHeard,
    OutsideProbed,
    PeerLeft,
    Persisted,
    PersistFailed,
    ReplicasChanged,
    ReportHeard,
    Stopping,
    Tick,
)
from agent.core.ids import NEVER, HierarchyId, Instant, NodeId, later
from agent.core.messages import Forward, Reply, VoteReply, VoteRequest
from agent.core.mind import Mind, new_state, notice
from agent.core.model import Cluster
from agent.core.reconcile import end, forget_failures, reconcile, undisturbed_until
from agent.core.state import NodeState
from agent.core.states import Quorum

PAUSE_INTERVALS = 3  # this many heartbeat intervals without a step: the node itself was away


class Node:
    """Decides for one node; see the module."""

    def __init__(self, state: NodeState) -> None:
        """Go on from a state, e.g. one that a journal begins with."""
        self.state = state  # all that it knows; for reports and journals, not for changing
        self._mind = Mind(state)
        self._quiet_until = NEVER  # set by each whole step

    @classmethod
    def starting(
        cls, me: NodeId, cluster: Cluster, durable: Durable, at: Instant, *, same_boot: bool
    ) -> Node:
        """A node whose agent has just started; `same_boot`: the machine did not restart since `durable`."""
        assert me in cluster.nodes, me
        return cls(new_state(me, cluster, durable, at, same_boot=same_boot))

    @property
    def mind(self) -> Mind:
        """Its parts; for reports."""
        return self._mind

    def step(self, event: Event) -> list[Effect]:
        """What to do about an event; the order of the list is part of the contract."""
        effects = self._notice_pause(event.at)
        quiet = not effects and event.at < self._quiet_until and self._only_renews(event)
        effects += self._take_in(event)
        if quiet and not effects:
            return []
        effects += self._pass_time(event.at)
        decided = self._reconcile(event.at)
        effects += decided
        effects += self._publish(event.at)
        if self.state.stopping and not self.state.said_goodbye and self._may_leave():
            self.state.said_goodbye = True
            effects.append(SayGoodbye())
        self._quiet_until = NEVER if decided else self._find_quiet(event.at)
        return in_order(effects)

    def next_deadline(self) -> Instant:
        """Step with a `Tick` no later than this, even if nothing happens."""
        state = self.state
        soon = later(state.stepped_at, state.cluster.heartbeat.interval_ms)
        if soon <= self._quiet_until:
            return soon
        due = [soon, self._mind.liveness.next_deadline()]
        if (grant := self._mind.authority.next_deadline(state.stepped_at)) is not None:
            due.append(grant)
        ends = [each.harmless_by for each in state.hierarchies.values()]
        due += [by for by in ends if by is not None and by > state.stepped_at]  # else all is done that can be
        machines = self._mind.machines.values()
        due += [at for each in machines if (at := each.next_deadline(state.stepped_at)) is not None]
        return max(min(due), later(state.stepped_at, 1))

    def _only_renews(self, event: Event) -> bool:
        """Does it say no more than that time has passed, or that a life that is known goes on?"""
        match event:
            case Tick():
                return True
            case HeartbeatHeard(peer=peer, incarnation=incarnation):
                return self.state.peers[peer].incarnation == incarnation
            case _:
                return False

    def _find_quiet(self, at: Instant) -> Instant:
        """Until when nothing comes of time, or of heartbeats like those before, which only put ends off."""
        mind, state = self._mind, self.state
        if state.stopping or state.forwarded:
            return NEVER
        quiet_until = min(mind.liveness.next_deadline(), mind.authority.quiet_until(at))
        for name in mind.machines:
            if quiet_until <= at:
                return NEVER
            quiet_until = min(quiet_until, undisturbed_until(mind, name, at))
        if (due := mind.authority.next_deadline(at)) is not None:
            quiet_until = min(quiet_until, due)
        return min([quiet_until, *(each.until for each in state.failures)])

    def _take_in(self, event: Event) -> list[Effect]:  # noqa: C901, PLR0912 (one line for each kind of event)
        mind, at = self._mind, event.at
        match event:
            case HeartbeatHeard():
                granted = mind.authority.heard(event)
                if event.answers is not None:
                    gates.heard(mind, event.peer)
                return [*granted, *mind.liveness.heard(event)]
            case ArbiterAnswered():
                return mind.authority.arbiter_answered(event)
            case OutsideProbed():
                return gates.outside_probed(mind, event)
            case FencingEnded():
                return gates.fencing_ended(mind, event)
            case KitAnswered():
                return kit_answered(mind, event)
            case ReplicasChanged():
                return replicas.changed(mind, event)
            case ReportHeard():
                return self._hear_report(event)
            case PeerLeft():
                return mind.liveness.left(event)
            case MessageHeard():
                return self._hear_message(event)
            case ActionFinished():
                return self._finish(event)
            case Persisted(_, serial):
                return self._persisted(serial, at)
            case PersistFailed(_, serial, why):
                return mind.authority.persist_failed(serial, why, at)
            case CommandGiven(_, request, command):
                return given(mind, request, command, at)
            case ConfigLoaded(_, cluster):
                told = notice(at, Kind.CONFIG_LOADED, Severity.INFO, "a new configuration is in force")
                return [*mind.reload(cluster, at), told]
            case Tick():
                return []
            case Departing():
                return self._depart(at)
            case Stopping():
                return self._stop(at)
        assert_never(event)

    def _persisted(self, serial: int, at: Instant) -> list[Effect]:
        could = self._mind.authority.able(at)
        effects = self._mind.authority.persisted(serial, at)
        for peer in self.state.peers.values() if not could else ():
            effects += self._mind.hear_registers(
                peer.report, at
            )  # what the store couldn't take when it was told
        return effects

    def _pass_time(self, at: Instant) -> list[Effect]:
        """What time alone brings about; after every event, for where much happens ticks are rare."""
        mind = self._mind
        return [
            *mind.liveness.tick(at),
            *mind.authority.pass_time(at),
            *expire(mind, at),
            *self._expire_failures(at),
        ]

    def _reconcile(self, at: Instant) -> list[Effect]:
        """Decide about each hierarchy; an agent that is stopping only ends what it has no authority for."""
        effects = list[Effect]()
        for name in self._mind.machines:
            if self.state.stopping:
                effects += end(self._mind, name, at)
            else:
                self._mind.settle(name, at)
                effects += reconcile(self._mind, name, at)
        return effects

    def _hear_message(self, event: MessageHeard) -> list[Effect]:
        match event.message:
            case Forward():
                return forwarded(self._mind, event.peer, event.message, event.at)
            case Reply():
                return replied(self._mind, event.message)
            case VoteRequest():
                return self._mind.authority.asked(event.peer, event.message, event.at)
            case VoteReply():
                return self._mind.authority.answered(event.peer, event.message, event.at)

    def _hear_report(self, event: ReportHeard) -> list[Effect]:
        if not self._mind.liveness.reported(event):
            return []
        heard = self._mind.hear_registers(event.report, event.at)
        return [*heard, *self._mind.authority.reported(event.peer, event.at)]

    def _finish(self, event: ActionFinished) -> list[Effect]:
        for machine in self._mind.machines.values():
            for tag, life in machine.life.resources.items():
                if life.running is not None and life.running.id == event.action:
                    return finish(machine, tag, event.outcome, event.detail, event.at)
        return []  # of a resource that a reload took away

    def _depart(self, at: Instant) -> list[Effect]:
        """The machine is about to stop; `reconcile` does what each hierarchy's `on_shutdown` says."""
        if self.state.departing:
            return []
        self.state.departing = True
        text = "this machine is stopping: what runs here goes to other nodes or is stopped"
        return [notice(at, Kind.DEPARTING, Severity.WARNING, text)]

    def _stop(self, at: Instant) -> list[Effect]:
        """The agent ends; applications go on. What is in progress is cut short and done again later.

        But what must end because authority is gone goes on ending.
        """
        self.state.stopping = True
        running = [
            life.running
            for each in self.state.hierarchies.values()
            for life in each.resources.values()
            if each.harmless_by is None and life.running is not None and not life.running.cancelled
        ]
        for each in running:
            each.cancelled = True
        effects: list[Effect] = [CancelAction(each.id) for each in running]
        authority = self._mind.authority
        for name in self._mind.machines:
            if self._runs_here(name) and authority.standing(name, at) is Standing.HELD:
                effects += authority.attend(name, attended=False)
        return effects

    def _runs_here(self, name: HierarchyId) -> bool:
        """Is it this node's alone? What `on_shutdown` has stopped here starts here again, too."""
        owned = self._mind.authority.register(name).owner == self.state.me
        return owned and (self.state.departing or not self._mind.machines[name].is_down)

    def _may_leave(self) -> bool:
        """Does everybody know what becomes of what ran here?

        What stays in service, so that nobody takes it over; what doesn't, so that somebody does.
        """
        return all(map(self._may_leave_alone, self._mind.machines))

    def _may_leave_alone(self, name: HierarchyId) -> bool:
        authority = self._mind.authority
        if self._runs_here(name):
            return authority.register(name).unattended and authority.agreed(name)
        return not self._mind.runs_on_authority(name) and not self._was_ended(name)

    def _was_ended(self, name: HierarchyId) -> bool:
        """Its authority is over, and all that ran; others take it from a node that is lost, not gone."""
        authority, majority = self._mind.authority, self.state.cluster.quorum is Quorum.MAJORITY
        ours = authority.register(name).owner == self.state.me
        return majority and ours and authority.standing(name, self.state.stepped_at) is Standing.NONE

    def _notice_pause(self, at: Instant) -> list[Effect]:
        """Time that this node slept through is held against nobody else."""
        assert at >= self.state.stepped_at, (at, self.state.stepped_at)
        interval_ms = self.state.cluster.heartbeat.interval_ms
        gap_ms, self.state.stepped_at = at - self.state.stepped_at, at
        if gap_ms <= PAUSE_INTERVALS * interval_ms:
            return []
        self._mind.liveness.forgive(gap_ms - interval_ms)
        text = f"this agent was away for {gap_ms} ms (suspended, stopped or starved); nobody else is blamed"
        return [notice(at, Kind.PAUSED, Severity.WARNING, text)]

    def _expire_failures(self, at: Instant) -> list[Effect]:
        over = [each.hierarchy for each in self.state.failures if at >= each.until]
        return [
            effect
            for name in over
            if name in self._mind.machines
            for effect in forget_failures(self._mind, name, at, "failure_timeout is over")
        ]

    def _publish(self, at: Instant) -> list[Effect]:
        """Say what changed, once it has."""
        report = self._mind.report(at)
        if report == self.state.published:
            return []
        self.state.published = replace(report, revision=report.revision + 1)
        return [Publish(self.state.published)]
