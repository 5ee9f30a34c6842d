"""One node's parts, wired together, and the questions that more than one of them asks."""

from __future__ import annotations

from agent.core.authority.contract import Authority, Standing
from agent.core.authority.liveness_based import LivenessBased
from agent.core.authority.quorum import QuorumBased, begin_seat
from agent.core.authority.registers import after_reboot
from agent.core.authority.state import QuorumLife, SeatLife
from agent.core.effects import CancelAction, Durable, Effect, Failure, Kind, Notice, Notify, Severity
from agent.core.hierarchy import HierarchyMachine
from agent.core.ids import FOREVER, NEVER, ActionId, HierarchyId, Instant, NodeId, Tag, later
from agent.core.liveness import Liveness, first_look
from agent.core.messages import HierarchyReport, Register, Report, VoteRecord
from agent.core.model import Cluster, Hierarchy
from agent.core.placement import Candidate, View, why_not_on
from agent.core.state import (
    Activity,
    Goal,
    HierarchyLife,
    NodeState,
    OwnershipLife,
    ResourceLife,
)
from agent.core.states import PeerStanding, Quorum, Reason, ResourceState, Trust

RUNS = (ResourceState.ISP, ResourceState.ISU)


def new_state(me: NodeId, cluster: Cluster, durable: Durable, at: Instant, *, same_boot: bool) -> NodeState:
    """What a starting agent knows. After a reboot nothing runs here and no failure is held against it."""
    kept = {each.hierarchy: each for each in durable.registers}
    registers = {
        spec.name: kept.get(spec.name, Register(hierarchy=spec.name)) for spec in cluster.hierarchies
    }
    if not same_boot:
        registers = {name: after_reboot(register, me) for name, register in registers.items()}
    lives = {spec.name: new_life(spec, me, at) for spec in cluster.hierarchies}
    for name, life in lives.items():
        life.in_part = same_boot and (registers[name].owner == me or name in durable.unfinished)
    votes = {each.hierarchy: each for each in durable.votes}
    seats = {
        name: begin_seat(cluster, me, register, votes.get(name, VoteRecord(hierarchy=name)), at)
        for name, register in registers.items()
    }
    return NodeState(
        me=me,
        quorum=QuorumLife(seats),
        cluster=cluster,
        stepped_at=at,
        peers=first_look(cluster, me, at),
        hierarchies=lives,
        ownership=OwnershipLife(registers=registers),
        failures=[each for each in durable.failures if same_boot],
    )


def new_life(spec: Hierarchy, me: NodeId, at: Instant) -> HierarchyLife:
    """A hierarchy of which nothing is known yet; on a node that can't run it, one that is down."""
    if me in spec.nodes:
        unknown = {each.tag: ResourceLife() for each in spec.resources}
        return HierarchyLife(resources=unknown, goal_since=at, begun=at)
    down = {each.tag: ResourceLife(activity=Activity.INACTIVE, probed=True) for each in spec.resources}
    return HierarchyLife(resources=down, goal=Goal.DOWN, goal_since=at, arrived=True, begun=at)


class Mind:
    """State, and the parts that work on it."""

    def __init__(self, state: NodeState) -> None:
        self.state = state
        self.adopt_cluster(state.cluster)

    def reload(self, cluster: Cluster, at: Instant) -> list[Effect]:
        """Put another configuration in force. What is gone from it is left as it is and forgotten."""
        kept = {spec.name: {each.tag for each in spec.resources} for spec in cluster.hierarchies}
        effects = list[Effect]()
        for name, life in self.state.hierarchies.items():
            tags = kept.get(name, set())
            running = [each.running for tag, each in life.resources.items() if tag not in tags]
            effects += [CancelAction(each.id) for each in running if each is not None]
            if life.trouble is not None and life.trouble.tag not in tags:
                life.trouble = None
        self.state.failures[:] = [each for each in self.state.failures if each.hierarchy in kept]
        self.adopt_cluster(cluster)
        for peer in self.state.peers.values():
            effects += self.hear_registers(peer.report, at)  # what was nobody's business may be now
        return effects

    def hear_registers(self, report: Report | None, at: Instant) -> list[Effect]:
        """A peer's word on who owns what."""
        known = [each.register for each in report.hierarchies] if report else []
        effects = list[Effect]()
        for each in known:
            if (machine := self.machines.get(each.hierarchy)) is not None:
                before = self.authority.register(each.hierarchy)
                effects += self.authority.hear(each, at)
                if self.authority.register(each.hierarchy) != before:
                    machine.life.told_at = at
        return effects

    def adopt_cluster(self, cluster: Cluster) -> None:
        """Wire the parts anew for a configuration; state of what is gone is dropped, of what is new begun."""
        state = self.state
        state.cluster = cluster
        for spec in cluster.hierarchies:
            state.ownership.registers.setdefault(spec.name, Register(hierarchy=spec.name))
            life = state.hierarchies.setdefault(spec.name, new_life(spec, state.me, state.stepped_at))
            life.resources = {
                each.tag: life.resources.get(each.tag, ResourceLife()) for each in spec.resources
            }
        names = {spec.name for spec in cluster.hierarchies}
        for gone in [name for name in state.hierarchies if name not in names]:
            del state.hierarchies[gone], state.ownership.registers[gone]
            state.ownership.pending.pop(gone, None)
        self.liveness = Liveness(state.peers, cluster.heartbeat.dead_after_ms)
        self.authority = self._mode(cluster)
        self.machines = {
            spec.name: HierarchyMachine(spec, state.hierarchies[spec.name], self.new_action)
            for spec in cluster.hierarchies
        }

    def _mode(self, cluster: Cluster) -> Authority:
        state = self.state
        match cluster.quorum:
            case Quorum.NONE:
                return LivenessBased(state.me, state.ownership, cluster, self._beside)
            case Quorum.MAJORITY:
                seats = {
                    name: state.quorum.seats.get(name) or self._new_seat(cluster, register)
                    for name, register in state.ownership.registers.items()
                }
                state.quorum.seats = seats
                return QuorumBased(
                    state.me, state.ownership, state.quorum, cluster, state.peers, self._beside
                )

    def _new_seat(self, cluster: Cluster, register: Register) -> SeatLife:
        vote = VoteRecord(hierarchy=register.hierarchy)
        return begin_seat(cluster, self.state.me, register, vote, self.state.stepped_at)

    def _beside(self) -> Durable:
        """What is to be durable beside registers and votes."""
        lives = ((name, each.life) for name, each in self.machines.items() if not each.is_down)
        unfinished = tuple(name for name, life in lives if life.in_part or life.goal is not Goal.PROBE)
        return Durable(failures=tuple(self.state.failures), unfinished=unfinished)

    def new_action(self) -> ActionId:
        """The next action's id."""
        action = ActionId(self.state.next_action)
        self.state.next_action += 1
        return action

    # Other nodes, and this one as a candidate

    def standing_of(self, node: NodeId) -> PeerStanding | None:
        """None for this node itself."""
        peer = self.state.peers.get(node)
        return peer.standing if peer is not None else None

    def reported(self, node: NodeId, name: HierarchyId) -> HierarchyReport | None:
        """What a peer last said of a hierarchy."""
        peer = self.state.peers[node]
        reports = peer.report.hierarchies if peer.report else ()
        return next((each for each in reports if each.register.hierarchy == name), None)

    def why_not_fit(self, name: HierarchyId, at: Instant) -> str:
        """Why this node couldn't take the hierarchy over now; empty if it could."""
        machine = self.machines[name]
        if self.state.stopping:
            return "its agent is stopping"
        if self.state.departing:
            return "its machine is stopping"
        if self.state.me not in machine.spec.nodes:
            return "it isn't one of the hierarchy's nodes"
        if not machine.probed:
            return "still finding out what runs here"
        if machine.life.stuck:
            return "a resource can't be removed here"
        if not self.authority.able(at):
            return f"its store can't be written: {self.state.ownership.store_failed}"
        if self.trust(name, at) is Trust.IN_SYNC and (why := self.why_not_in_sync(name)):
            return why
        failure = self.failure(name, at)
        return f"{failure.tag} failed there: {failure.why}" if failure else ""

    def why_not_in_sync(self, name: HierarchyId) -> str:
        """What the register has against this node's copy of the data; empty: nothing, or there is none."""
        in_sync = self.authority.register(name).in_sync
        if self.state.me in in_sync:
            return ""
        if in_sync:
            return f"its replica lacks writes that {', '.join(in_sync)} may have"
        replicated = self.machines[name].spec.replicated
        return f"no node's replica of {', '.join(replicated)} counts yet" if replicated else ""

    def trust(self, name: HierarchyId, at: Instant) -> Trust:
        """Why this node's copy of the data may be used: the register, unless an operator said more."""
        trusting = self.machines[name].life.trusting
        return trusting.trust if trusting is not None and at < trusting.until else Trust.IN_SYNC

    def failure(self, name: HierarchyId, at: Instant) -> Failure | None:
        """A failure to run the hierarchy that is still held against this node."""
        return next(
            (each for each in self.state.failures if each.hierarchy == name and at < each.until), None
        )

    def candidates(self, name: HierarchyId, at: Instant) -> tuple[Candidate, ...]:
        """Every node that may run the hierarchy, by priority."""
        return tuple(self._candidate(node, name, at) for node in self.machines[name].spec.nodes)

    def view(self, name: HierarchyId, at: Instant) -> View:
        """What `placement.decide` rests on."""
        register, life = self.authority.register(name), self.machines[name].life
        owner = register.owner
        return View(
            me=self.state.me,
            at=at,
            hierarchy=self.machines[name].spec,
            register=register,
            candidates=self.candidates(name, at),
            owner_standing=self._owner_standing(owner, life.told_at, at) if owner is not None else None,
            settled=life.settled,
            free_since=life.free_since if life.free_since is not None else at,
            patience_ms=self.state.cluster.heartbeat.dead_after_ms,
        )

    def settle(self, name: HierarchyId, at: Instant) -> None:
        """Have all who could know of it spoken? Others may run it, or come first for it, until then."""
        life = self.machines[name].life
        waited = at - life.begun >= self.state.cluster.startup_grace_ms
        if not life.settled:
            life.settled = waited or all(self._has_spoken(node, name) for node in self.state.peers)

    def next_node(self, name: HierarchyId, at: Instant) -> NodeId | None:
        """The best other node that could take the hierarchy from this one."""
        for each in self.candidates(name, at):
            if each.node != self.state.me and each.fit and each.present:
                return each.node
        return None

    def _owner_standing(self, owner: NodeId, told_at: Instant, at: Instant) -> PeerStanding | None:
        """An owner of which others tell since it was lost lives: it has `dead_after` to be heard here too."""
        peer = self.state.peers.get(owner)
        if peer is None or peer.standing is not PeerStanding.LOST or told_at <= peer.since:
            return self.standing_of(owner)
        patience_ms = self.state.cluster.heartbeat.dead_after_ms
        return PeerStanding.ALIVE if at - told_at < patience_ms else PeerStanding.LOST

    def _has_spoken(self, node: NodeId, name: HierarchyId) -> bool:
        standing, report = self.standing_of(node), self.reported(node, name)
        if standing in (PeerStanding.LEFT, PeerStanding.LOST):
            return True
        return standing is PeerStanding.ALIVE and report is not None and report.probed

    def _candidate(self, node: NodeId, name: HierarchyId, at: Instant) -> Candidate:
        if node == self.state.me:
            why_not, runs_some = self.why_not_fit(name, at), self.machines[name].some_active
            return Candidate(node=node, standing=None, why_not=why_not, runs_some=runs_some)
        report, standing = self.reported(node, name), self.standing_of(node)
        runs_some = report is not None and any(each.state in RUNS for each in report.resources)
        return Candidate(node=node, standing=standing, why_not=why_not_on(report), runs_some=runs_some)

    # What this node says of itself

    def report(self, at: Instant) -> Report:
        """This node's report, with the revision of the one before."""
        revision = self.state.published.revision if self.state.published else 0
        hierarchies = tuple(self._report_of(name, at) for name in self.machines)
        return Report(revision=revision, hierarchies=hierarchies)

    def _report_of(self, name: HierarchyId, at: Instant) -> HierarchyReport:
        why_not = self.why_not_fit(name, at)
        machine = self.machines[name]
        return HierarchyReport(
            register=self.authority.told(name),
            stance=self.authority.stance(name),
            phase=machine.phase,
            probed=machine.probed,
            eligible=not why_not,
            why_not=why_not[:120],
            waits_for=machine.life.waits_for,
            resources=machine.reports(),
        )

    def runs_on_authority(self, name: HierarchyId) -> bool:
        """Does anything of it run here, or may it, that only a majority's grants allow?"""
        machine = self.machines[name]
        if self.state.cluster.quorum is not Quorum.MAJORITY or machine.is_down:
            return False
        life = machine.life
        ours = life.in_part if life.goal is Goal.PROBE else life.goal is Goal.UP or life.leaving is not None
        return ours or life.harmless_by is not None

    def harmless_by(self) -> Instant:
        """When everything here must have ended unless authority is renewed; FOREVER if nothing runs on it.

        An instant in the past: not renewed in this life of the agent, or over. What an earlier life told
        the watchdogs then stays as it is, and runs out.
        """
        names = [name for name in self.machines if self.runs_on_authority(name)]
        return min((self.authority.safe_until(name) for name in names), default=FOREVER)

    def may_act_until(self, name: HierarchyId, at: Instant) -> Instant:
        """Until when this node may change for the hierarchy what others can see; the past: not at all."""
        if self.authority.standing(name, at) is not Standing.HELD:
            return NEVER
        return later(self.authority.safe_until(name), -self.state.cluster.margin_ms)

    def left_in_good_order(self, name: HierarchyId) -> bool:
        """Did an earlier life of this agent leave it running, with everybody's consent?"""
        register = self.authority.register(name)
        return register.owner == self.state.me and register.unattended

    def resource_is_active(self, tag: Tag) -> bool:
        """Does it run here, or may it?"""
        lives = (life for spec, life in self._lives() if spec == tag)
        return any(life.activity is not Activity.INACTIVE for life in lives)

    def _lives(self) -> list[tuple[Tag, ResourceLife]]:
        return [
            (tag, life) for each in self.state.hierarchies.values() for tag, life in each.resources.items()
        ]


def notice(
    at: Instant,
    kind: Kind,
    severity: Severity,
    text: str,
    name: HierarchyId | None = None,
    *,
    peer: NodeId | None = None,
    reason: Reason | None = None,
) -> Effect:
    """Tell people."""
    told = Notice(at=at, kind=kind, severity=severity, text=text, hierarchy=name, peer=peer, reason=reason)
    return Notify(told)
