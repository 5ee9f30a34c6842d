"""A world small enough to try everything in it: two nodes, an arbiter, one hierarchy.

Whatever takes time is something in flight: a heartbeat, a message, a request to the arbiter, its answer, a
record on its way to a disk. Nothing happens of itself but the oldest of them arriving, and, when nothing is
left, time passing by one heartbeat interval, a quarter of G. Everything else is a *deviation*: something
arrives before its turn, is lost, or is left in flight while time passes (so it is late); a client of the
arbiter gives up on a request that is applied later; an agent is killed and starts again, what it was writing
is lost; a machine loses its power and boots; an agent stands still while time passes; a link is cut one way,
or mended; the arbiter is out of reach for one node, or again in it. `search` tries them all.

Must hold after each: at most one node has authority, as it counts itself; nothing is restored without, or
while any of it may run on the other node. What runs ends when its node fences itself, or its guardian does.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agent.core.authority.contract import Standing
from agent.core.effects import AskArbiter, Durable, Effect, FenceMyself, Persist, Publish, Send, StartAction
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
from agent.core.ids import FOREVER, HierarchyId, Instant, NodeId, PathId, Tag
from agent.core.messages import ArbiterRecord, Report
from agent.core.model import Cluster, CommPath, Heartbeat, Hierarchy, Resource
from agent.core.node import Node
from agent.core.state import NodeState
from agent.core.states import Action, ArbiterOutcome, Outcome, Quorum

A, B = NodeId("a"), NodeId("b")
OTHER = {A: B, B: A}
NAME, PATH = HierarchyId("h"), PathId("p")
LINKS = {  # what is cut together; "a" is what a says to its peer, "a!" is between a and the arbiter
    "what a says": ("a",),
    "what b says": ("b",),
    "the network between them": ("a", "b"),
    "a's way to the arbiter": ("a!",),
    "b's way to the arbiter": ("b!",),
    "everything of a": ("a", "b", "a!"),
    "everything of b": ("a", "b", "b!"),
}
GRANT_MS, STEP_MS = 1_000, 250
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
    takeover_margin_ms=100,
    startup_grace_ms=GRANT_MS,
)

Flight = tuple[int, str, NodeId, Any]  # since when, what, to whom (or whose), with what


class Broken(AssertionError):
    """A promise was broken."""


@dataclass
class Small:
    """The whole world; plain data, so that it can be copied and compared."""

    drift: dict[NodeId, int]  # of each clock, in thousandths
    now: int = 10_000
    states: dict[NodeId, NodeState] = field(default_factory=dict)
    lives: dict[NodeId, int] = field(default_factory=lambda: {A: 1, B: 1})
    disks: dict[NodeId, Durable] = field(default_factory=lambda: {A: Durable(), B: Durable()})
    reports: dict[NodeId, Report] = field(default_factory=dict)
    heard: dict[NodeId, tuple[int, Instant] | None] = field(default_factory=lambda: {A: None, B: None})
    flying: list[Flight] = field(default_factory=list)  # the oldest first
    cut: dict[str, bool] = field(default_factory=lambda: {"a": False, "b": False, "a!": False, "b!": False})
    record: ArbiterRecord | None = None
    version: int = 0
    running: dict[NodeId, bool] = field(default_factory=lambda: {A: False, B: False})
    ends_by: dict[NodeId, Instant] = field(default_factory=dict)  # what the guardian was told, by that clock

    def clock(self, me: NodeId) -> Instant:
        """What that node's clock shows."""
        return Instant(self.now + self.now * self.drift[me] // 1_000)

    # A node's step

    def step(self, me: NodeId, event: Event) -> None:
        """What its kits do they do at once."""
        node = Node(self.states[me])
        todo = list(node.step(event))
        while todo:
            effect = todo.pop(0)
            if isinstance(effect, FenceMyself):
                self.power_cut(me)
                return
            todo += [each for answer in self._answers(me, node, effect) for each in node.step(answer)]
        if (by := node.mind.harmless_by()) > event.at:
            self.ends_by[me] = by
        if len(self.holders()) > 1:
            raise Broken("both have authority")

    def _answers(self, me: NodeId, node: Node, effect: Effect) -> list[Event]:
        at = self.clock(me)
        match effect:
            case Persist():
                self.fly("record", me, effect)
            case StartAction(id=action, action=Action.CHECK):
                return [ActionFinished(at, action, Outcome.OK if self.running[me] else Outcome.FAILED)]
            case StartAction(id=action, action=Action.RESTORE | Action.RECOVER):
                self._restore(me, node)
                return [ActionFinished(at, action, Outcome.OK)]
            case StartAction(id=action):
                self.running[me] = False
                return [ActionFinished(at, action, Outcome.OK)]
            case Publish(report):
                self.reports[me] = report
            case Send(to, message):
                self.fly("message", to, message)
            case AskArbiter():
                self.fly("request", me, effect)
        return []

    def _restore(self, me: NodeId, node: Node) -> None:
        if node.mind.authority.standing(NAME, self.clock(me)) is not Standing.HELD:
            raise Broken(f"{me} restores without authority")
        if self.running[OTHER[me]]:
            raise Broken(f"{me} restores what runs on {OTHER[me]}")
        self.running[me] = True

    # What may happen

    def fly(self, kind: str, to: NodeId, what: Any) -> None:
        """It is on its way, unless its link is cut."""
        sender = OTHER[to] if kind in {"beat", "message"} else f"{to}!"
        if kind == "record" or not self.cut[sender]:
            self.flying.append((self.now, kind, to, what))
        elif kind == "request":
            self._give_up_on(to, what)

    def start(self, me: NodeId, *, same_boot: bool) -> None:
        """An agent's life begins with what the disk holds."""
        self.flying = [
            (since, "late request" if kind == "request" and to == me else kind, to, what)
            for since, kind, to, what in self.flying
            if to != me or kind in {"request", "late request"}
        ]
        at = self.clock(me)
        node = Node.starting(me, CLUSTER, self.disks[me], at, same_boot=same_boot)
        self.states[me], self.heard[me] = node.state, None
        self.lives[me] += 1
        self.step(me, Tick(at))

    def power_cut(self, me: NodeId) -> None:
        """Nothing runs there any more; it boots at once."""
        self.running[me] = False
        self.ends_by[me] = FOREVER
        self.start(me, same_boot=False)

    def pass_time(self, still: NodeId | None = None) -> None:
        """Both look at the clock and speak, but one whose agent stands still."""
        self.now += STEP_MS
        for me in (A, B):
            if self.running[me] and self.ends_by[me] <= self.clock(me):
                self.power_cut(me)
        for me in (A, B):
            if me != still:
                self.step(me, Tick(self.clock(me)))
                beat = (self.lives[me], self.clock(me), self.heard[me], self.reports.get(me))
                self.fly("beat", OTHER[me], beat)

    def toggle(self, *links: str) -> None:
        """Cut links, or mend them; what is in flight arrives."""
        for link in links:
            self.cut[link] = not self.cut[link]

    def lose(self, which: int) -> None:
        """It never arrives; whoever asked the arbiter gives up."""
        _, kind, to, what = self.flying.pop(which)
        if kind in {"request", "answer"}:
            self._give_up_on(to, what)

    def arrive(self, which: int) -> None:
        """What is in flight arrives."""
        _, kind, to, what = self.flying.pop(which)
        at = self.clock(to)
        match kind, what:
            case "message", _:
                self.step(to, MessageHeard(at, OTHER[to], what))
            case "record", Persist(serial, durable):
                self.disks[to] = durable
                self.step(to, Persisted(at, serial))
            case "request", AskArbiter():
                self.fly("answer", to, (what.request, *self._serve(what)))
            case "late request", AskArbiter():
                self._serve(what)
            case "answer", (request, outcome, record, version):
                self.step(to, ArbiterAnswered(at, request, outcome, record, version))
            case "beat", (life, sent, echo, report):
                self._hear(to, life, sent, echo, report)

    def _give_up_on(self, me: NodeId, what: Any) -> None:
        request = what.request if isinstance(what, AskArbiter) else what[0]
        self.flying.append((self.now, "answer", me, (request, ArbiterOutcome.UNANSWERED, None, None)))

    def is_silence(self, which: int) -> bool:
        """Does a client learn that nobody answered?"""
        return self.flying[which][3][1] is ArbiterOutcome.UNANSWERED

    def give_up_on(self, which: int) -> None:
        """The client's time limit is over; its request may arrive all the same."""
        since, _, to, what = self.flying[which]
        self.flying[which] = (since, "late request", to, what)
        self._give_up_on(to, what)

    def _serve(self, asked: AskArbiter) -> tuple[ArbiterOutcome, ArbiterRecord | None, str | None]:
        version = str(self.version) if self.version else None
        if asked.write is not None and asked.expected != version:
            return ArbiterOutcome.CONFLICT, self.record, version
        if asked.write is not None:
            self.record, self.version = asked.write, self.version + 1
        return ArbiterOutcome.OK, self.record, str(self.version) if self.version else None

    def _hear(
        self, me: NodeId, life: int, sent: Instant, echo: tuple[int, Instant] | None, report: Report | None
    ) -> None:
        """As `agent.comm`: never after a newer one; it counts if it echoes a recent one of this life."""
        peer, at, known = OTHER[me], self.clock(me), self.heard[me]
        if known is not None and (life, sent) <= known:
            return
        self.heard[me] = life, sent
        fresh = echo is not None and echo[0] == self.lives[me] and at - echo[1] < GRANT_MS
        answers = echo[1] if fresh and echo is not None else None
        revision = report.revision if report is not None else None
        self.step(me, HeartbeatHeard(at, peer, PATH, life, answers, revision))
        if answers is not None and report is not None and self.lives[me] == (echo or (0, 0))[0]:
            self.step(me, ReportHeard(self.clock(me), peer, life, report))

    def holders(self) -> list[NodeId]:
        """Who has authority, as it counts itself."""
        claiming = [me for me, state in self.states.items() if state.quorum.seats[NAME].claim is not None]
        minds = {me: Node(self.states[me]).mind for me in claiming}
        return [me for me in claiming if minds[me].authority.standing(NAME, self.clock(me)) is Standing.HELD]

    # Copies

    def frozen(self) -> bytes:
        """The whole of it but what never changes; equal for equal worlds."""
        self.flying.sort(key=lambda each: each[:3])
        for state in self.states.values():
            state.cluster = None  # type: ignore[assignment]
            for seat in state.quorum.seats.values():
                if seat.claim is not None:
                    seat.claim.lease.until = dict(sorted(seat.claim.lease.until.items()))
        content = io.BytesIO()
        pickler = pickle.Pickler(content, protocol=5)
        pickler.fast = True  # no memo: equal values give equal bytes, whichever objects hold them
        pickler.dump(self)
        self._thaw()
        return content.getvalue()

    def _thaw(self) -> None:
        for state in self.states.values():
            state.cluster = CLUSTER

    @staticmethod
    def thawed(content: bytes) -> Small:
        """The other way round."""
        world: Small = pickle.loads(content)
        world._thaw()
        return world


def begun(drift: dict[NodeId, int]) -> Small:
    """Both nodes run, and one owns the hierarchy."""
    world = Small(drift)
    for node in (A, B):
        world.start(node, same_boot=False)
    for _ in range(40):
        while world.flying:
            world.arrive(0)
        owners = [state.ownership.registers[NAME].owner for state in world.states.values()]
        if owners[0] is not None and owners[0] == owners[1] and world.running[owners[0]]:
            return world
        world.pass_time()
    raise AssertionError("nobody owns it")


Move = tuple[str, Callable[[Small], None]]


def usual(world: Small) -> Move:
    """What happens of itself."""
    if not world.flying:
        return "time passes", lambda after: after.pass_time()
    _, kind, to, _ = world.flying[0]
    return f"{kind} arrives ({to})", lambda after: after.arrive(0)


def deviations(world: Small) -> Iterator[Move]:
    """Everything else that may happen next."""
    for which, (_, kind, to, _) in enumerate(world.flying):
        if which > 0:
            yield f"{kind} arrives before its turn ({to})", partial(Small.arrive, which=which)
        if kind not in {"record", "late request"} and not (kind == "answer" and world.is_silence(which)):
            yield f"{kind} is lost ({to})", partial(Small.lose, which=which)
        if kind == "request":
            yield f"{to} gives up on the arbiter", partial(Small.give_up_on, which=which)
    if world.flying:
        yield "time passes meanwhile", Small.pass_time
    for node in (A, B):
        yield f"time passes while {node} stands still", partial(Small.pass_time, still=node)
        yield f"{node}'s agent is killed and starts again", partial(Small.start, me=node, same_boot=True)
        yield f"{node} loses its power and boots", partial(Small.power_cut, me=node)
    for what, links in LINKS.items():
        if len({world.cut[link] for link in links}) == 1:
            told = "mended" if world.cut[links[0]] else "cut"
            yield f"{what} is {told}", _toggling(links)


def _toggling(links: tuple[str, ...]) -> Callable[[Small], None]:
    return lambda after: after.toggle(*links)
