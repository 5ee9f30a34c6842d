"""A cluster in memory: virtual time, machines, comm paths, disks and kits that do as they are told.

Everything happens in an order fixed by time and then by sequence, so a test is the same every time;
only loss, lateness and torn writes draw from the world's own `Random(seed)`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random

from agent.core.effects import (
    Answer,
    CancelAction,
    ControlKit,
    Durable,
    Effect,
    Fence,
    FenceMyself,
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
    ActionFinished,
    CommandGiven,
    ConfigLoaded,
    Departing,
    Event,
    FencingEnded,
    KitAnswered,
    OutsideProbed,
    Persisted,
    PersistFailed,
    Stopping,
    Tick,
)
from agent.core.ids import ActionId, HierarchyId, NodeId, RequestId, Tag
from agent.core.messages import Command
from agent.core.model import Cluster
from agent.core.node import Node
from agent.core.states import Action, Outcome
from tests.spec.machine import FIRST_MS, Agent, Machine, Script
from tests.spec.network import Network
from tests.spec.rules import Rules

KILL_MS = 20  # from a time limit or a cancel until the action has ended
FENCE_MS = 500
OUTSIDE = 3  # addresses of isolation_check
LEAVE_LIMIT_MS = 2_000  # for an agent that stops to say goodbye; then it ends without


class World:
    """See the top of this file."""

    def __init__(self, cluster: Cluster, *, seed: int = 0, may_part: bool = False) -> None:
        """Every machine is powered, no agent runs. `may_part`: living nodes may be cut from each other."""
        self.cluster, self.now = cluster, FIRST_MS
        self.random, self.script = Random(seed), Script()
        self.machines = {name: Machine(name, booted_at=0) for name in cluster.nodes}
        self.network = Network(self, self.random)
        self.rules = Rules(self, alone=not may_part)
        self.notices: list[tuple[int, NodeId, Notice]] = []
        self.actions: list[tuple[int, NodeId, StartAction]] = []
        self.asked: dict[RequestId, tuple[int, Agent]] = {}
        self.answers: dict[RequestId, Answer] = {}
        self.fenced: list[NodeId] = []
        self.reached: dict[NodeId, int] = {}  # of OUTSIDE addresses; all of them unless it says less
        self.probes: list[NodeId] = []
        self.fence_works = True  # it cuts the machine's power within FENCE_MS, and says so
        self.shots: list[tuple[NodeId, NodeId]] = []  # who fenced whom
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0
        self._lives = 0

    # Time

    def run(self, ms: int) -> None:
        """Let so many milliseconds pass."""
        end = self.now + ms
        while (due := self._due()) <= end:
            self.now = max(due, self.now)
            if self._agenda and self._agenda[0][0] <= self.now:
                heapq.heappop(self._agenda)[2]()
                continue
            for machine in self.machines.values():
                agent = machine.agent
                if agent is not None and not self.asleep(machine) and agent.tick_at <= self.now:
                    self.step(machine, agent, Tick(machine.clock(self.now)))
        self.now = end

    def run_until(self, holds: Callable[[], bool], within_ms: int) -> bool:
        """Let time pass until something holds; False if it never does."""
        end = self.now + within_ms
        while not holds():
            if self.now >= end:
                return False
            self.run(min(100, end - self.now))
        return True

    def at(self, when: int, what: Callable[[], None]) -> None:
        """Do it then."""
        self._sequence += 1
        heapq.heappush(self._agenda, (when, self._sequence, what))

    # Machines and agents

    def start(self, *names: str) -> None:
        """Start the agent on these machines (none named: on all)."""
        for name in names or self.cluster.nodes:
            machine = self.machines[NodeId(name)]
            assert machine.powered, name
            assert machine.agent is None, name
            at, same_boot = machine.clock(self.now), machine.disk_boot == machine.boots
            node = Node.starting(machine.name, self.cluster, machine.disk, at, same_boot=same_boot)
            self._lives += 1
            agent = Agent(node, self._lives, self.cluster, machine.disk, at, same_boot)
            machine.agent = agent
            self.step(machine, agent, Tick(at))
            self.network.beat(machine, agent)

    def stop(self, name: str) -> None:
        """The agent ends in good order, or soon without a goodbye; what runs goes on."""
        machine, agent = self._living(name)
        self.step(machine, agent, Stopping(machine.clock(self.now)))
        self.deliver(machine, agent, LEAVE_LIMIT_MS, lambda: setattr(machine, "agent", None))

    def depart(self, name: str) -> None:
        """`kage leave`: the machine is about to stop."""
        machine, agent = self._living(name)
        self.step(machine, agent, Departing(machine.clock(self.now)))

    def shut_down(self, name: str) -> None:
        """As systemd does it: leave, end the agent, switch the machine off."""
        self.depart(name)
        self.run(2_000)
        self.stop(name)
        self.run(2_000)
        self.power_off(name)

    def crash(self, name: str) -> None:
        """The agent is killed; what runs goes on, what it was writing may or may not be on disk."""
        machine, agent = self._living(name)
        if agent.writing and agent.to_persist and not machine.disk_full and self.random.random() < 0.5:
            self._write(machine, agent.to_persist.durable)
        machine.agent = None

    def power_off(self, name: str) -> None:
        """The machine is dead; nothing runs there."""
        machine = self.machines[NodeId(name)]
        machine.agent, machine.powered, machine.asleep_until = None, False, 0
        machine.occupied.clear()
        machine.working.clear()

    def boot(self, name: str) -> None:
        """The machine comes up with an agent and a clock that starts anew."""
        machine = self.machines[NodeId(name)]
        assert not machine.powered, name
        machine.powered, machine.boots, machine.booted_at = True, machine.boots + 1, self.now - FIRST_MS
        self.start(name)

    def pause(self, name: str, ms: int) -> None:
        """The machine sleeps; what reaches it meanwhile waits."""
        self.machines[NodeId(name)].asleep_until = self.now + ms

    def breaks(self, name: str, tag: str) -> None:
        """A resource stops working by itself."""
        self.machines[NodeId(name)].working.discard(Tag(tag))

    def reload(self, cluster: Cluster, *names: str) -> None:
        """A new configuration; on these nodes only, if some are named."""
        self.cluster = cluster
        for name in names or cluster.nodes:
            machine = self.machines[NodeId(name)]
            if machine.agent is not None:
                self.step(machine, machine.agent, ConfigLoaded(machine.clock(self.now), cluster))

    def command(self, name: str, command: Command) -> RequestId:
        """An operator's command to one node's agent; the answer is in `answers` some time later."""
        machine, agent = self._living(name)
        request = RequestId(f"r{len(self.asked) + 1}")
        self.asked[request] = self.now, agent
        self.step(machine, agent, CommandGiven(machine.clock(self.now), request, command))
        return request

    # What is so

    def in_service(self, hierarchy: str) -> list[NodeId]:
        """The machines on which every resource of it works."""
        tags = {each.tag for each in self.cluster.hierarchy(HierarchyId(hierarchy)).resources}
        return [each.name for each in self.machines.values() if tags <= each.working]

    def occupied(self, hierarchy: str) -> list[NodeId]:
        """The machines on which any of it may run."""
        tags = {each.tag for each in self.cluster.hierarchy(HierarchyId(hierarchy)).resources}
        return [each.name for each in self.machines.values() if tags & each.occupied]

    def node(self, name: str) -> Node:
        """The living agent's core."""
        return self._living(name)[1].node

    def steps(self, name: str) -> int:
        """How many steps the living agent has taken."""
        return len(self._living(name)[1].life)

    def verify(self) -> None:
        """What is checked at the end: every command answered, every living agent's life the same again."""
        self.rules.at_the_end()

    # One step

    def step(self, machine: Machine, agent: Agent, event: Event) -> None:
        """Give a node an event, check its effects, carry them out."""
        self.rules.before(agent, event)
        effects = agent.node.step(event)
        agent.life.append((event, effects))
        self.rules.after(machine, agent, effects)
        agent.tick_at = agent.node.next_deadline() + machine.booted_at
        assert agent.tick_at > self.now
        for effect in effects:
            self._carry_out(machine, agent, effect)
        if agent.leaving:
            machine.agent = None

    def _carry_out(  # noqa: C901 (one line for each kind of effect)
        self, machine: Machine, agent: Agent, effect: Effect
    ) -> None:
        match effect:
            case Persist():
                agent.to_persist = effect
                self._persist(machine, agent)
            case Publish(report):
                agent.report = report
                self.network.speak(machine, agent)
            case Send(to, message):
                self.network.send(machine, to, message)
            case SayGoodbye():
                agent.leaving = True
                self.network.speak(machine, agent)
            case ProbeOutside():
                self.probes.append(machine.name)
                self.deliver(machine, agent, 5, lambda: self._tell_outside(machine, agent))
            case Fence(node):
                self.shots.append((machine.name, node))
                self.deliver(machine, agent, FENCE_MS, lambda: self._end_fence(machine, agent, node))
            case StartAction():
                self._act(machine, agent, effect)
            case CancelAction(action):
                self.at(self.now + KILL_MS, lambda: self._end(machine, agent, action, Outcome.CANCELLED, ""))
            case ControlKit(request, tag, verb):
                text = f"{verb} of {tag} on {machine.name}"
                self.deliver(machine, agent, 5, lambda: self._answer(machine, agent, request, text))
            case FenceMyself():
                self.fenced.append(machine.name)
                self.power_off(machine.name)
            case Answer():
                assert effect.request not in self.answers, effect
                self.answers[effect.request] = effect
            case Notify(notice):
                self.notices.append((self.now, machine.name, notice))

    def _tell_outside(self, machine: Machine, agent: Agent) -> None:
        at, reached = machine.clock(self.now), self.reached.get(machine.name, OUTSIDE)
        self.step(machine, agent, OutsideProbed(at, reached, OUTSIDE))

    def _end_fence(self, machine: Machine, agent: Agent, node: NodeId) -> None:
        if self.fence_works:
            self.power_off(node)
        text = f"{node} is off" if self.fence_works else f"{node} is not fenced: throttled"
        self.step(machine, agent, FencingEnded(machine.clock(self.now), node, self.fence_works, text))

    def _answer(self, machine: Machine, agent: Agent, request: RequestId, text: str) -> None:
        self.step(machine, agent, KitAnswered(machine.clock(self.now), request, accepted=True, text=text))

    def _persist(self, machine: Machine, agent: Agent) -> None:
        """One write at a time; of those that wait only the newest is written."""
        if agent.writing:
            return
        agent.writing = True
        persist, agent.to_persist = agent.to_persist, None
        assert persist is not None

        def written() -> None:
            agent.writing = False
            if machine.agent is not agent:
                return
            at = machine.clock(self.now)
            if machine.disk_full:
                self.step(machine, agent, PersistFailed(at, persist.serial, "no space left on device"))
            else:
                self._write(machine, persist.durable)
                self.step(machine, agent, Persisted(at, persist.serial))
            if agent.to_persist is not None and machine.agent is agent:
                self._persist(machine, agent)

        self.deliver(machine, agent, machine.persist_ms, written)

    @staticmethod
    def _write(machine: Machine, durable: Durable) -> None:
        machine.disk, machine.disk_boot = durable, machine.boots

    def _act(self, machine: Machine, agent: Agent, start: StartAction) -> None:
        self.actions.append((self.now, machine.name, start))
        agent.actions[start.id] = start
        machine.begin(start)
        turn = self.script.turn(machine.name, start)
        takes_ms = turn.takes_ms if turn else 10
        if turn is not None and (turn.hangs or takes_ms > start.limit_ms):
            late = Outcome.TIMED_OUT
            self.at(
                self.now + start.limit_ms + KILL_MS,
                lambda: self._end(machine, agent, start.id, late, f"out of time after {start.limit_ms} ms"),
            )
            return

        def ended() -> None:
            if turn is not None:
                self._end(machine, agent, start.id, turn.outcome, turn.detail)
            elif start.action is Action.CHECK and start.tag not in machine.working:
                self._end(machine, agent, start.id, Outcome.FAILED, "not running")
            else:
                self._end(machine, agent, start.id, Outcome.OK, "")

        self.at(self.now + takes_ms, ended)

    def _end(self, machine: Machine, agent: Agent, action: ActionId, outcome: Outcome, detail: str) -> None:
        if machine.agent is not agent or action not in agent.actions:
            return
        if self.asleep(machine):
            self.at(machine.asleep_until, lambda: self._end(machine, agent, action, outcome, detail))
            return
        machine.end(agent.actions.pop(action), outcome)
        self.step(machine, agent, ActionFinished(machine.clock(self.now), action, outcome, detail))

    def deliver(self, machine: Machine, agent: Agent | None, ms: int, what: Callable[[], None]) -> None:
        """Do it after so long, or when the machine wakes up; never, once that boot (or agent) is over."""
        boots = machine.boots

        def now() -> None:
            if machine.boots != boots or not machine.powered or (agent and machine.agent is not agent):
                return
            if self.asleep(machine):
                self.at(machine.asleep_until, now)
            else:
                what()

        self.at(self.now + ms, now)

    def asleep(self, machine: Machine) -> bool:
        return machine.asleep_until > self.now

    def _due(self) -> int:
        due = [self._agenda[0][0]] if self._agenda else []
        due += [
            max(each.agent.tick_at, each.asleep_until)
            for each in self.machines.values()
            if each.agent is not None
        ]
        return min(due, default=1 << 62)

    def _living(self, name: str) -> tuple[Machine, Agent]:
        machine = self.machines[NodeId(name)]
        assert machine.agent is not None, f"no agent runs on {name}"
        return machine, machine.agent
