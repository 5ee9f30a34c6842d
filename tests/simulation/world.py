"""A cluster in memory: one agenda in real time, a drifting clock on each machine.

Everything happens in an order fixed by time and then by sequence, so a seed is the same every time.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from agent.core.authority.contract import Standing
from agent.core.effects import (
    AskArbiter,
    CancelAction,
    Effect,
    Fence,
    FenceMyself,
    Kind,
    Notice,
    Notify,
    Persist,
    ProbeOutside,
    Publish,
    SayGoodbye,
    Send,
    StartAction,
)
from agent.core.events import (
    CommandGiven,
    Departing,
    Event,
    FencingEnded,
    OutsideProbed,
    Persisted,
    PersistFailed,
    ReplicasChanged,
    Stopping,
    Tick,
)
from agent.core.ids import HierarchyId, NodeId, RequestId
from agent.core.messages import Command
from agent.core.node import Node
from tests.simulation.arbiter import Arbiter
from tests.simulation.checkers import Checkers
from tests.simulation.kits import Kits
from tests.simulation.lifeline import Lifeline
from tests.simulation.machine import Agent, Machine, Session
from tests.simulation.mirror import Mirror, all_in_sync
from tests.simulation.network import Network
from tests.simulation.options import Options

LEAVES_WITHIN = 2  # times G: then an agent that stops ends without a goodbye


class World:
    """See the top of this file."""

    def __init__(self, options: Options) -> None:
        """Every machine is powered, and its agent starts in the first moments."""
        self.options, self.cluster, self.now = options, options.cluster, 0
        self._random = Random(options.seed)
        self.machines = {
            name: Machine(name, options.drift.get(name, 0), persist_ms=options.persist_ms)
            for name in options.cluster.nodes
        }
        self.network = Network(self, self._random)
        self.arbiter = Arbiter(self, self._random)
        self.mirrors = {each.name: Mirror(self, each.name) for each in self.cluster.hierarchies}
        self.kits = Kits(self, self._random)
        self.lifeline = Lifeline(self)
        self.checkers = Checkers(self)
        self.counts = Counter[str]()  # what happened, to see what a run was worth
        self.notices: list[tuple[int, NodeId, Notice]] = []
        self.lives, self.requests = 0, 0
        self.struck_by = 0  # when the last fence that was ordered has struck
        self._agenda: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        for name in self.machines:
            self.at(self._random.randrange(options.grant_ms), self.start, name)
        if options.mirrored:
            for machine in self.machines.values():
                machine.disk = all_in_sync(options.cluster)
            for mirror in self.mirrors.values():
                self.at(options.grant_ms, mirror.turn)

    # Time

    def at(self, when: int, what: Callable[..., None], *args: Any) -> None:
        """Do it then."""
        self._sequence += 1
        heapq.heappush(self._agenda, (when, self._sequence, what, args))

    def run(self, ms: int) -> None:
        """Let so many milliseconds pass."""
        end, agenda = self.now + ms, self._agenda
        while agenda and agenda[0][0] <= end:
            when, _, what, args = heapq.heappop(agenda)
            self.now = when
            what(*args)
        self.now = end

    def run_until(self, holds: Callable[[], bool], within_ms: int) -> bool:
        """Let time pass until something holds; False if it never does."""
        end, pace_ms = self.now + within_ms, max(1, self.options.grant_ms // 40)
        while not holds():
            if self.now >= end:
                return False
            self.run(pace_ms)
        return True

    def wakes(self, machine: Machine, agent: Agent | None) -> int:
        """When this agent can do something again; now or earlier, if it can."""
        if agent is None or agent.stopped_until <= machine.asleep_until:
            return machine.asleep_until
        return agent.stopped_until

    def all_go_on_at(self) -> int:
        """When nobody is suspended or stopped any more, if nobody is anew; now or earlier, if nobody is.

        Nothing shortens what was drawn: whatever is to happen there, its heartbeats too, waits for that time.
        """
        return max(self.wakes(machine, machine.agent) for machine in self.machines.values())

    def deliver(self, machine: Machine, ms: int, what: Callable[..., None], *args: Any) -> None:
        """Bring something to whatever agent lives there by then."""
        self._sequence += 1
        how = machine, machine.boots, None, what, args
        heapq.heappush(self._agenda, (self.now + ms, self._sequence, self._deliver, how))

    def deliver_to(
        self, machine: Machine, agent: Agent, ms: int, what: Callable[..., None], *args: Any
    ) -> None:
        """Bring something to this agent alone."""
        self.at(self.now + ms, self._deliver, machine, machine.boots, agent, what, args)

    def _deliver(
        self,
        machine: Machine,
        boots: int,
        agent: Agent | None,
        what: Callable[..., None],
        args: tuple[Any, ...],
    ) -> None:
        living = machine.agent
        if not machine.powered or machine.boots != boots or (agent is not None and living is not agent):
            return
        if (wakes := self.wakes(machine, living)) > self.now:
            self.at(wakes, self._deliver, machine, boots, agent, what, args)
        else:
            what(*args)

    # Machines and agents

    def start(self, name: NodeId) -> None:
        """Start the agent, if there is none."""
        machine = self.machines[name]
        if not machine.powered or machine.agent is not None:
            return
        at, same_boot = machine.clock(self.now), machine.disk_boot == machine.boots
        node = Node.starting(name, self.cluster, machine.disk, at, same_boot=same_boot)
        self.lives += 1
        sessions = {peer: Session() for peer in self.cluster.nodes if peer != name}
        agent = machine.agent = Agent(node, self.lives, sessions)
        self.step(machine, agent, Tick(at))
        self.network.beat(machine, agent)

    def depart(self, name: NodeId) -> None:
        """The machine is about to be shut down."""
        machine, agent = self.machines[name], self.machines[name].agent
        if agent is not None and self.wakes(machine, agent) <= self.now:
            self.step(machine, agent, Departing(machine.clock(self.now)))

    def stop(self, name: NodeId) -> None:
        """The agent ends in good order, or after a while without a goodbye; what runs goes on."""
        machine, agent = self.machines[name], self.machines[name].agent
        if agent is None or self.wakes(machine, agent) > self.now:
            return
        self.step(machine, agent, Stopping(machine.clock(self.now)))
        if machine.is_run_by(agent):
            self.deliver_to(machine, agent, LEAVES_WITHIN * self.options.grant_ms, self.crash, name)

    def _leave(self, machine: Machine, agent: Agent) -> None:
        agent.leaving = True
        self.network.speak(machine, agent)
        machine.agent, machine.bites_at = None, None
        self.counts["goodbyes"] += 1
        self.counts["goodbyes while services run"] += any(machine.occupied.values())

    def crash(self, name: NodeId) -> None:
        """The agent is killed; what runs goes on, what it was writing may or may not be on disk."""
        machine, agent = self.machines[name], self.machines[name].agent
        if agent is None:
            return
        if agent.writing and agent.to_persist and not machine.disk_full and self._random.random() < 0.5:
            self._write(machine, agent.to_persist)
        elif agent.writing:
            self.counts["records lost by a crash"] += 1
        machine.agent = None

    def power_off(self, name: NodeId) -> None:
        """The machine is dead; nothing runs there."""
        machine = self.machines[name]
        machine.agent, machine.powered, machine.bites_at, machine.asleep_until = None, False, None, 0
        machine.watched = machine.unaware = False
        machine.occupied.clear()
        machine.working.clear()

    def boot(self, name: NodeId) -> None:
        """The machine comes up, with an agent and a clock that starts anew."""
        machine = self.machines[name]
        if not machine.powered:
            machine.powered, machine.boots, machine.booted_at = True, machine.boots + 1, self.now
            self.start(name)

    def sleep(self, name: NodeId, ms: int) -> None:
        """The machine is suspended; what reaches it meanwhile waits, its watchdog too."""
        machine = self.machines[name]
        if machine.powered and machine.asleep_until <= self.now:
            machine.asleep_until = machine.woke_at = self.now + ms
            machine.unaware, machine.slept = True, machine.agent
            self.lifeline.slept(machine, ms)
            self.at(machine.asleep_until, self.checkers.woke, machine, machine.boots)

    def command(self, name: NodeId, command: Command) -> None:
        """An operator's command to one node's agent."""
        machine = self.machines[name]
        self.requests += 1
        event = CommandGiven(machine.clock(self.now), RequestId(f"r{self.requests}"), command)
        if machine.agent is not None and self.wakes(machine, machine.agent) <= self.now:
            self.step(machine, machine.agent, event)

    def amend(self, machine: Machine, agent: Agent, name: HierarchyId, in_sync: tuple[NodeId, ...]) -> None:
        """The mirror's owner changes with whom it is in sync."""
        tag = self.cluster.hierarchy(name).replicated[0]
        self.step(machine, agent, ReplicasChanged(machine.clock(self.now), name, tag, in_sync))

    def die(self, machine: Machine, of: str) -> None:
        """A reset; it boots again later."""
        self.counts[f"resets by {of}"] += 1
        self.power_off(machine.name)
        self.at(self.now + self._random.randrange(2, 30) * self.options.grant_ms, self.boot, machine.name)

    # One step

    def step(self, machine: Machine, agent: Agent, event: Event) -> None:
        """Give a node an event, carry its effects out, let the checkers look."""
        if not machine.is_run_by(agent):
            return
        self.counts["steps"] += 1
        if machine.unaware and machine.slept is agent:
            machine.unaware, machine.woke_at = False, self.now
        effects = agent.node.step(event)
        self.checkers.stepped(machine, agent, effects)
        for effect in effects:
            self._carry_out(machine, agent, effect)
            if not machine.is_run_by(agent):
                return
        if machine.bites_at is not None or machine.occupied:
            self.lifeline.told(machine, agent)
        agent.deadline = agent.node.next_deadline()
        due = machine.when(agent.deadline)
        if due < agent.tick_due:
            agent.tick_due = due
            self.at(due, self._tick, machine, agent)

    def _tick(self, machine: Machine, agent: Agent) -> None:
        if not machine.is_run_by(agent) or agent.tick_due > self.now:
            return
        if (wakes := self.wakes(machine, agent)) > self.now:
            agent.tick_due = wakes
            self.at(wakes, self._tick, machine, agent)
            return
        agent.tick_due, at = 1 << 62, machine.clock(self.now)
        if at >= agent.deadline:
            self.step(machine, agent, Tick(at))
        else:
            agent.tick_due = machine.when(agent.deadline)
            self.at(agent.tick_due, self._tick, machine, agent)

    def _carry_out(self, machine: Machine, agent: Agent, effect: Effect) -> None:  # noqa: C901 (one case each)
        match effect:
            case Persist():
                agent.to_persist = effect
                self._persist(machine, agent)
            case Publish(report):
                self.checkers.says(machine, effect)
                agent.report = report
                self.network.speak(machine, agent)
            case Send(to, message):
                self.checkers.says(machine, effect)
                self.network.send(machine, agent, to, message)
            case AskArbiter():
                self.checkers.says(machine, effect)
                self.arbiter.ask(machine, agent, effect)
            case SayGoodbye():
                self._leave(machine, agent)
            case ProbeOutside():
                reached = 2 * self.arbiter.is_reached_by(machine)
                self.deliver_to(
                    machine, agent, 1 + self.options.grant_ms // 20, self._probed, machine, agent, reached
                )
            case Fence(node):
                self._fence(machine, agent, node)
            case StartAction():
                self.kits.act(machine, agent, effect)
            case CancelAction(action):
                self.kits.cancel(machine, agent, action)
            case FenceMyself():
                self.die(machine, "the agent itself")
            case Notify(notice):
                self.counts["takeovers"] += notice.kind is Kind.OWNERSHIP_TAKEN
                self.notices.append((self.now, machine.name, notice))

    def _probed(self, machine: Machine, agent: Agent, reached: int) -> None:
        self.step(machine, agent, OutsideProbed(machine.clock(self.now), reached, 2))

    def _fence(self, machine: Machine, agent: Agent, node: NodeId) -> None:
        """By an API in the same outside as the arbiter; it may work and nobody learn of it."""
        reached, ms = self.arbiter.is_reached_by(machine), self._random.randrange(1, self.options.grant_ms)
        if reached:
            self.at(self.now + ms, self.die, self.machines[node], "a peer")
            self.struck_by = max(self.struck_by, self.now + ms)
        told = reached and self._random.random() < 0.8
        self.deliver_to(machine, agent, ms + 1, self._fenced, machine, agent, node, told)

    def _fenced(self, machine: Machine, agent: Agent, node: NodeId, fenced: bool) -> None:
        text = "it is stopped" if fenced else "no answer in time"
        self.step(machine, agent, FencingEnded(machine.clock(self.now), node, fenced, text))

    def _persist(self, machine: Machine, agent: Agent) -> None:
        """One write at a time; of those that wait only the newest is written."""
        if not agent.writing:
            agent.writing = True
            self.deliver_to(
                machine, agent, machine.persist_ms, self._written, machine, agent, agent.to_persist
            )

    def _written(self, machine: Machine, agent: Agent, persist: Persist) -> None:
        agent.writing, at = False, machine.clock(self.now)
        if agent.to_persist is persist:
            agent.to_persist = None
        if machine.disk_full:
            self.counts["records that failed"] += 1
            self.step(machine, agent, PersistFailed(at, persist.serial, "no space left on device"))
        else:
            self._write(machine, persist)
            self.step(machine, agent, Persisted(at, persist.serial))
        if agent.to_persist is not None and machine.is_run_by(agent):
            self._persist(machine, agent)

    def _write(self, machine: Machine, persist: Persist) -> None:
        machine.disk, machine.disk_boot = persist.durable, machine.boots
        self.counts["records on disk"] += 1
        for register in persist.durable.registers:
            self.checkers.recorded(register)

    # What is so

    def serving(self, name: HierarchyId) -> list[NodeId]:
        """The machines on which every resource of it works."""
        tags = {each.tag for each in self.cluster.hierarchy(name).resources}
        return [each.name for each in self.machines.values() if each.powered and tags <= each.working]

    def holders(self, name: HierarchyId) -> list[NodeId]:
        """The nodes that have authority over it, as each counts itself."""
        return [each.name for each in self.claimants(name) if self._holds(each, name)]

    def claimants(self, name: HierarchyId) -> list[Machine]:
        """The machines whose agents own it or campaign for it: only those can hold it."""
        return [
            each
            for each in self.machines.values()
            if each.agent is not None and each.agent.node.state.quorum.seats[name].claim is not None
        ]

    def _holds(self, machine: Machine, name: HierarchyId) -> bool:
        assert machine.agent is not None, machine
        return machine.agent.node.mind.authority.standing(name, machine.clock(self.now)) is Standing.HELD
