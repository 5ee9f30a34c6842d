"""Every order of events in a world small enough for that: two nodes, an arbiter, one hierarchy.

`python -m tests.simulation.small [--depth 12]`. From a cluster in which one node owns the hierarchy the
search branches wherever something may go one way or another: one thing that is on its way (a heartbeat, a
message, a request to the arbiter, its answer) arrives; or half of G passes, in which both nodes speak, and
what was on its way for longer than G is lost; or a node's agent is killed and starts again with what its
disk holds, once each. Equal states are searched once. After every step at most one node may have authority,
as it counts itself.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.core.authority.contract import Standing
from agent.core.effects import AskArbiter, Durable, Effect, Persist, Publish, Send, StartAction
from agent.core.events import (
    ActionFinished,
    ArbiterAnswered,
    Event,
    HeartbeatHeard,
    MessageHeard,
    Persisted,
    ReportHeard,
    Tick,
)
from agent.core.ids import HierarchyId, Instant, NodeId, PathId, Tag
from agent.core.messages import ArbiterRecord, Report
from agent.core.model import Cluster, CommPath, Heartbeat, Hierarchy, Resource
from agent.core.node import Node
from agent.core.state import NodeState
from agent.core.states import Action, ArbiterOutcome, Outcome, Quorum

A, B = NodeId("a"), NodeId("b")
NAME, PATH = HierarchyId("h"), PathId("p")
GRANT_MS, STEP_MS = 40, 20
CLUSTER = Cluster(
    name="small",
    nodes=(A, B),
    paths=(CommPath(name=PATH, priority=1),),
    hierarchies=(
        Hierarchy(
            name=NAME,
            resources=(Resource(tag=Tag("r"), kit="generic", check_interval_ms=0),),
            nodes=(A, B),
        ),
    ),
    heartbeat=Heartbeat(interval_ms=STEP_MS, dead_after_ms=GRANT_MS),
    quorum=Quorum.MAJORITY,
    arbiter=True,
    takeover_margin_ms=4,
    startup_grace_ms=GRANT_MS,
)


@dataclass
class Small:
    """The whole world; plain data, so that it can be copied and hashed."""

    now: int = 1_000
    states: dict[NodeId, NodeState] = field(default_factory=dict)
    lives: dict[NodeId, int] = field(default_factory=lambda: {A: 1, B: 1})
    disks: dict[NodeId, Durable] = field(default_factory=lambda: {A: Durable(), B: Durable()})
    reports: dict[NodeId, Report] = field(default_factory=dict)
    heard: dict[NodeId, tuple[int, Instant] | None] = field(default_factory=lambda: {A: None, B: None})
    flying: list[tuple[int, str, NodeId, object]] = field(default_factory=list)  # since when, what, to whom
    record: ArbiterRecord | None = None
    version: int = 0

    def step(self, me: NodeId, event: Event) -> None:
        """One node's step; what its disk and kits do, they do at once."""
        node = Node(self.states[me])
        todo = [(effect, event.at) for effect in node.step(event)]
        while todo:
            effect, at = todo.pop(0)
            todo += [(each, at) for answer in self._answers(me, effect, at) for each in node.step(answer)]

    def _answers(self, me: NodeId, effect: Effect, at: Instant) -> list[Event]:
        match effect:
            case Persist(serial, durable):
                self.disks[me] = durable
                return [Persisted(at, serial)]
            case StartAction(id=action, action=Action.CHECK):
                return [ActionFinished(at, action, Outcome.FAILED)]
            case StartAction(id=action):
                return [ActionFinished(at, action, Outcome.OK)]
            case Publish(report):
                self.reports[me] = report
            case Send(to, message):
                self.flying.append((self.now, "message", to, message))
            case AskArbiter():
                self.flying.append((self.now, "request", me, effect))
        return []

    def start(self, me: NodeId) -> None:
        """An agent's life begins with what the disk holds; an earlier one may have been killed."""
        at = Instant(self.now)
        node = Node.starting(me, CLUSTER, self.disks[me], at, same_boot=bool(self.disks[me].registers))
        self.states[me], self.heard[me] = node.state, None
        self.flying = [each for each in self.flying if each[2] != me or each[1] == "request"]
        self.step(me, Tick(at))

    def speak(self, me: NodeId) -> None:
        """One heartbeat is on its way."""
        other = B if me == A else A
        beat = (self.lives[me], self.now, self.heard[me], self.reports.get(me))
        self.flying.append((self.now, "beat", other, beat))

    def arrive(self, which: int) -> None:
        """What is on its way arrives."""
        _, kind, to, what = self.flying.pop(which)
        at = Instant(self.now)
        if kind == "message":
            self.step(to, MessageHeard(at, B if to == A else A, what))  # type: ignore[arg-type]
        elif kind == "beat":
            self._hear(to, *what)  # type: ignore[misc]
        elif kind == "request":
            assert isinstance(what, AskArbiter)
            outcome = ArbiterOutcome.OK
            if what.write is not None and what.expected != (str(self.version) if self.version else None):
                outcome = ArbiterOutcome.CONFLICT
            elif what.write is not None:
                self.record, self.version = what.write, self.version + 1
            held = (self.record, str(self.version) if self.version else None)
            self.flying.append((self.now, "answer", to, (what.request, outcome, *held)))
        else:
            self.step(to, ArbiterAnswered(at, *what))  # type: ignore[misc]

    def _hear(
        self, me: NodeId, life: int, sent: int, echo: tuple[int, Instant] | None, report: Report | None
    ) -> None:
        peer, at = B if me == A else A, Instant(self.now)
        if life != self.lives[peer]:
            return
        self.heard[me] = life, Instant(sent)
        mine = echo is not None and echo[0] == self.lives[me] and at - echo[1] < GRANT_MS
        answers = echo[1] if mine and echo is not None else None
        revision = report.revision if report is not None else None
        self.step(me, HeartbeatHeard(at, peer, PATH, life, answers, revision))
        if answers is not None and report is not None:
            self.step(me, ReportHeard(at, peer, life, report))

    def holders(self) -> list[NodeId]:
        """Who has authority, as it counts itself."""
        at = Instant(self.now)
        minds = {me: Node(state).mind for me, state in self.states.items()}
        return [me for me, mind in minds.items() if mind.authority.standing(NAME, at) is Standing.HELD]

    def frozen(self) -> bytes:
        """The whole of it but what never changes; equal for equal worlds."""
        for state in self.states.values():
            state.cluster = None  # type: ignore[assignment]
        content = pickle.dumps(self)
        self._thaw()
        return content

    def _thaw(self) -> None:
        for state in self.states.values():
            state.cluster = CLUSTER

    @staticmethod
    def thawed(content: bytes) -> Small:
        """The other way round."""
        world: Small = pickle.loads(content)
        world._thaw()
        return world


def begun() -> Small:
    """Both nodes run, and one owns the hierarchy."""
    world = Small()
    for node in (A, B):
        world.start(node)
    for _ in range(60):
        world.now += STEP_MS // 4
        for node in (A, B):
            world.step(node, Tick(Instant(world.now)))
            world.speak(node)
        while world.flying:
            world.arrive(0)
        if world.holders() and all(s.ownership.registers[NAME].owner for s in world.states.values()):
            return world
    raise AssertionError("nobody owns it")


def moves(content: bytes) -> Iterator[tuple[str, Small]]:
    """Everything that may happen next."""
    world = Small.thawed(content)
    for which, (_, kind, to, _) in enumerate(world.flying):
        arrived = Small.thawed(content)
        arrived.arrive(which)
        yield f"{kind} reaches {to}", arrived
    for node in (A, B):
        if world.lives[node] == 1:
            again = Small.thawed(content)
            again.lives[node] += 1
            again.start(node)
            yield f"{node} is killed and starts again", again
    world.now += STEP_MS
    world.flying = [each for each in world.flying if world.now - each[0] <= GRANT_MS]
    for node in (A, B):
        world.step(node, Tick(Instant(world.now)))
        world.speak(node)
    yield "time passes", world


@dataclass
class Found:
    """What a search saw."""

    states: int = 0
    steps: int = 0
    takeovers: int = 0  # states in which the other node owns it
    violation: tuple[str, ...] = ()


def search(depth: int) -> Found:
    """Breadth first, each state once; ends with the first violation, which has the shortest story."""
    first = begun()
    (owner,), found = first.holders(), Found(states=1)
    level: dict[bytes, tuple[str, ...]] = {first.frozen(): ()}
    seen = {hashlib.sha256(content).digest()[:12] for content in level}
    for _ in range(depth):
        following: dict[bytes, tuple[str, ...]] = {}
        for content, story in level.items():
            for told, after in moves(content):
                found.steps += 1
                frozen = after.frozen()
                digest = hashlib.sha256(frozen).digest()[:12]
                if digest in seen:
                    continue
                seen.add(digest)
                holders = after.holders()
                found.states += 1
                found.takeovers += holders not in ([], [owner])
                if len(holders) > 1:
                    found.violation = (*story, told)
                    return found
                following[frozen] = (*story, told)
        level = following
    return found


def main() -> int:
    """0 if nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.small", description=__doc__)
    parser.add_argument("--depth", type=int, default=8)
    args = parser.parse_args()
    found = search(args.depth)
    told = f"{found.states:,} states, {found.steps:,} steps, {found.takeovers:,} after a takeover"
    print(f"depth {args.depth}: {told}")
    if found.violation:
        print("two owners after:\n  " + "\n  ".join(found.violation))
    return 1 if found.violation else 0


if __name__ == "__main__":
    sys.exit(main())
