"""What must hold after every step of every node, whatever happens. It only looks; it drives nothing.

(a) a restore or recovery starts only on the node whose disk, and mind, say that it owns the hierarchy;
(b) children are restored before, and removed after, their parents; one action at a time per resource;
(c) a step's effects: persist, say, fence, cancel, act, answer, tell;
(d) while living nodes can hear each other, nothing of a hierarchy starts on a node while any of it
    may still run on another, unless both claimed it in the same moment, before either could hear the
    other: mode "none" settles that only afterwards;
(e) a node's life, run again from the same beginning, is the same;
(f) every command is answered once, in time.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from agent.core.effects import (
    Answer,
    AskArbiter,
    CancelAction,
    ControlKit,
    Effect,
    Fence,
    FenceMyself,
    Notify,
    Persist,
    ProbeOutside,
    Publish,
    SayGoodbye,
    Send,
    StartAction,
)
from agent.core.events import ActionFinished, Event
from agent.core.ids import ActionId, HierarchyId, NodeId, Tag
from agent.core.messages import Register
from agent.core.model import Hierarchy, Resource
from agent.core.node import Node
from agent.core.states import Action, Outcome
from tests.spec.machine import Agent, Machine

if TYPE_CHECKING:
    from tests.spec.world import World

ANSWER_WITHIN_MS = 5_000  # plus two intervals until somebody looks at the clock

STAGES: tuple[tuple[type, ...], ...] = (
    (Persist,),
    (Publish, Send, AskArbiter, ProbeOutside, SayGoodbye),
    (FenceMyself, Fence),
    (CancelAction,),
    (StartAction, ControlKit),
    (Answer,),
    (Notify,),
)
ORDER = {kind: stage for stage, kinds in enumerate(STAGES) for kind in kinds}


class Belief(Enum):
    """What an agent may think of a resource, by the ends of the actions that it has seen."""

    UNTOLD = "untold"
    UP = "up"
    DOWN = "down"
    BROKEN = "broken"


class Rules:
    """Raises AssertionError at the first step that breaks one."""

    def __init__(self, world: World, *, alone: bool) -> None:
        self._world, self._alone = world, alone
        self._beliefs: dict[tuple[int, Tag], Belief] = {}  # by the agent's incarnation
        self._claims: dict[tuple[HierarchyId, int], set[NodeId]] = {}  # who acted on which term
        self._started: dict[tuple[int, ActionId], StartAction] = {}

    def before(self, agent: Agent, event: Event) -> None:
        """Learn from the end of an action."""
        if isinstance(event, ActionFinished):
            start = self._started.pop((agent.incarnation, event.action))
            key = agent.incarnation, start.tag
            belief = self._beliefs.get(key, Belief.UNTOLD)
            self._beliefs[key] = _learn(belief, start.action, event.outcome)

    def after(self, machine: Machine, agent: Agent, effects: list[Effect]) -> None:
        """Check what a step wants done."""
        stages = [next(i for i, kinds in enumerate(STAGES) if isinstance(each, kinds)) for each in effects]
        assert stages == sorted(stages), self._say(machine, f"effects out of order: {effects}")
        for effect in effects:
            if isinstance(effect, StartAction):
                self._starts(machine, agent, effect)

    def at_the_end(self) -> None:
        """(e) and (f)."""
        for machine in self._world.machines.values():
            if machine.agent is not None:
                _live_again(machine.agent)
        for request, (at, agent) in self._world.asked.items():
            due = at + ANSWER_WITHIN_MS + 2 * self._world.cluster.heartbeat.interval_ms
            lives = any(each.agent is agent for each in self._world.machines.values())
            if lives and self._world.now > due:
                assert request in self._world.answers, f"{request} of {at} was never answered"

    def _starts(self, machine: Machine, agent: Agent, start: StartAction) -> None:
        busy = [each for each in agent.actions.values() if each.tag == start.tag]
        assert not busy, self._say(machine, f"{start} while {busy} is in progress")
        spec = agent.node.mind.machines[start.hierarchy].spec
        resource = next(each for each in spec.resources if each.tag == start.tag)
        if start.action in {Action.RESTORE, Action.RECOVER}:
            self._has_authority(machine, agent, start)
            self._runs_nowhere_else(machine, agent, spec, start)
        if start.action is Action.RESTORE:
            for child in (each for each in spec.resources if each.tag in resource.depends_on):
                assert self._is_up(agent, child), self._say(machine, f"{start} before its child {child.tag}")
        if start.action in {Action.REMOVE, Action.FORCE_REMOVE}:
            for parent in (each for each in spec.resources if start.tag in each.depends_on):
                down = self._belief(agent, parent.tag) is Belief.DOWN
                assert down, self._say(machine, f"{start} before its parent {parent.tag}")
        self._started[agent.incarnation, start.id] = start
        if start.action is not Action.CHECK:
            self._beliefs[agent.incarnation, start.tag] = Belief.BROKEN  # until it has ended

    def _has_authority(self, machine: Machine, agent: Agent, start: StartAction) -> None:
        said = agent.node.mind.authority.register(start.hierarchy)
        written = _register(machine, start.hierarchy)
        assert said.owner == machine.name, self._say(machine, f"{start} though it knows {said}")
        assert written is not None, self._say(machine, f"{start} before anything is durable")
        assert written.owner == machine.name, self._say(machine, f"{start} though {written} is on its disk")
        assert written.term == said.term, self._say(machine, f"{start}: {said} isn't durable yet: {written}")

    def _runs_nowhere_else(self, machine: Machine, agent: Agent, spec: Hierarchy, start: StartAction) -> None:
        if not self._alone:
            return
        claim = spec.name, agent.node.mind.authority.register(spec.name).term
        rivals = self._claims.setdefault(claim, set())
        rivals.add(machine.name)
        others = [each for each in self._world.occupied(spec.name) if each not in rivals]
        assert not others, self._say(machine, f"{start} while it may still run on {others}")

    def _is_up(self, agent: Agent, resource: Resource) -> bool:
        belief = self._belief(agent, resource.tag)
        unchecked = resource.check_interval_ms == 0 and belief is Belief.UNTOLD
        return belief is Belief.UP or unchecked

    def _belief(self, agent: Agent, tag: Tag) -> Belief:
        return self._beliefs.get((agent.incarnation, tag), Belief.UNTOLD)

    def _say(self, machine: Machine, what: str) -> str:
        return f"at {self._world.now} ms on {machine.name}: {what}"


def _learn(belief: Belief, action: Action, outcome: Outcome) -> Belief:
    match action, outcome:
        case ((Action.RESTORE | Action.RECOVER | Action.CHECK), Outcome.OK):
            return Belief.UP
        case ((Action.REMOVE | Action.FORCE_REMOVE), Outcome.OK):
            return Belief.DOWN
        case Action.CHECK, Outcome.FAILED:
            return Belief.DOWN if belief in {Belief.UNTOLD, Belief.DOWN} else Belief.BROKEN
        case Action.CHECK, _:
            return belief
    return Belief.BROKEN


def _register(machine: Machine, hierarchy: HierarchyId) -> Register | None:
    return next((each for each in machine.disk.registers if each.hierarchy == hierarchy), None)


def _live_again(agent: Agent) -> None:
    me: NodeId = agent.node.state.me
    twin = Node.starting(me, agent.cluster, agent.durable, agent.began, same_boot=agent.same_boot)
    for event, effects in agent.life:
        twin = Node(twin.state)  # whatever a node keeps beside its state, to be quick, changes nothing
        assert twin.step(event) == effects, f"{me} would do something else about {event}"
    assert twin.state == agent.node.state
