"""One machine of the simulated cluster: its disk, what runs on it, and the agent that lives there.

What runs is told in the worst case: a resource is `occupied` from the moment a restore begins until
a remove has ended well, and `working` only between a good restore and the next misfortune.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from agent.core.effects import Durable, Effect, Persist, StartAction
from agent.core.events import Event
from agent.core.ids import ActionId, Instant, NodeId, PathId, Tag
from agent.core.messages import Report
from agent.core.model import Cluster
from agent.core.node import Node
from agent.core.states import Action, Outcome

FIRST_MS = 1_000  # a machine's clock when the world begins


@dataclass(frozen=True)
class Turn:
    """How one action goes."""

    outcome: Outcome = Outcome.OK
    takes_ms: int = 10
    detail: str = ""
    hangs: bool = False  # until its time limit, or a cancel


WORKS = Turn()
FAILS = Turn(Outcome.FAILED, detail="scripted")
UNANSWERED = Turn(Outcome.UNKNOWN, detail="nobody answers")
HANGS = Turn(hangs=True)


class Script:
    """How the kits behave: well and quickly, unless a test says otherwise."""

    def __init__(self) -> None:
        self._always: dict[tuple[NodeId, Tag, Action], Turn] = {}
        self._next: dict[tuple[NodeId, Tag, Action], deque[Turn]] = {}
        self.any_turn: Callable[[StartAction], Turn | None] = lambda _action: None

    def always(self, node: str, tag: str, action: Action, turn: Turn) -> None:
        """From now on."""
        self._always[NodeId(node), Tag(tag), action] = turn

    def once(self, node: str, tag: str, action: Action, *turns: Turn) -> None:
        """Only the next time, or times."""
        self._next.setdefault((NodeId(node), Tag(tag), action), deque()).extend(turns)

    def well(self) -> None:
        """Everything behaves again."""
        self._always.clear()
        self._next.clear()
        self.any_turn = lambda _action: None

    def turn(self, node: NodeId, start: StartAction) -> Turn | None:
        """How this one goes; None: well, and a check answers by what really runs."""
        key = node, start.tag, start.action
        if self._next.get(key):
            return self._next[key].popleft()
        return self._always.get(key) or self.any_turn(start)


@dataclass(eq=False)
class Agent:
    """One life of one agent."""

    node: Node
    incarnation: int
    cluster: Cluster  # what it began with, for running its life again
    durable: Durable
    began: Instant
    same_boot: bool
    life: list[tuple[Event, list[Effect]]] = field(default_factory=list)
    report: Report | None = None
    known: dict[NodeId, tuple[int, int]] = field(default_factory=dict)  # peers' incarnation, revision
    heard: dict[tuple[NodeId, PathId], tuple[int, Instant]] = field(default_factory=dict)  # to be echoed
    actions: dict[ActionId, StartAction] = field(default_factory=dict)
    to_persist: Persist | None = None  # the newest waits for the one being written
    writing: bool = False
    leaving: bool = False
    tick_at: int = 0  # in the world's time


@dataclass(eq=False)
class Machine:
    """One machine."""

    name: NodeId
    booted_at: int  # in the world's time
    boots: int = 1
    agent: Agent | None = None
    disk: Durable = field(default_factory=Durable)
    disk_boot: int = 0  # during which boot the disk was last written
    disk_full: bool = False
    persist_ms: int = 2
    powered: bool = True
    asleep_until: int = 0
    occupied: set[Tag] = field(default_factory=set)
    working: set[Tag] = field(default_factory=set)

    def clock(self, now: int) -> Instant:
        """CLOCK_BOOTTIME here."""
        return Instant(now - self.booted_at)

    def begin(self, start: StartAction) -> None:
        """An action's worst case while it is in progress."""
        if start.action in {Action.RESTORE, Action.RECOVER}:
            self.occupied.add(start.tag)
        if start.action is not Action.CHECK:
            self.working.discard(start.tag)

    def end(self, start: StartAction, outcome: Outcome) -> None:
        """What an action that went well leaves behind."""
        if outcome is not Outcome.OK:
            return
        if start.action in {Action.RESTORE, Action.RECOVER}:
            self.occupied.add(start.tag)
            self.working.add(start.tag)
        elif start.action is not Action.CHECK:
            self.occupied.discard(start.tag)
            self.working.discard(start.tag)
