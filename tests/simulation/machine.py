"""One simulated machine: its clock, its disk, its lifeline, what runs on it, and the agent's lives.

What runs is told in the worst case: a resource is `occupied` from the moment a restore begins until a
remove has ended well or the power is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from agent.core.effects import Durable, Persist, StartAction
from agent.core.ids import NEVER, ActionId, HierarchyId, Instant, NodeId, PathId, Tag
from agent.core.messages import Report
from agent.core.node import Node

FIRST_MS = 1_000  # a machine's clock when it boots


class Stamp(NamedTuple):
    """Which heartbeat: of whose life, and when it was sent by that clock."""

    incarnation: int
    sent: Instant
    counter: int


@dataclass(eq=False)
class Session:
    """What one agent knows of a peer's lives, as `agent.comm.paths` does."""

    newest: dict[tuple[PathId, int], tuple[Stamp, Instant]] = field(default_factory=dict)  # and heard when
    incarnation: int | None = None  # of the present life
    left: bool = False
    answered: Instant = NEVER
    counted: dict[PathId, Instant] = field(default_factory=dict)
    known: tuple[int, int] = (0, 0)  # incarnation and revision of the newest report


@dataclass(eq=False)
class Agent:
    """One life of one agent."""

    node: Node
    incarnation: int
    sessions: dict[NodeId, Session]
    report: Report | None = None
    leaving: bool = False
    counter: int = 0
    actions: dict[ActionId, StartAction] = field(default_factory=dict)
    to_persist: Persist | None = None
    writing: bool = False
    deadline: Instant = NEVER  # by its own clock
    tick_due: int = 1 << 62  # when the next tick is on the agenda, in the world's time
    stopped_until: int = 0  # SIGSTOP: the machine goes on


@dataclass(eq=False)
class Machine:
    """One machine."""

    name: NodeId
    drift: int  # of ten thousand
    booted_at: int = 0  # in the world's time
    boots: int = 1
    powered: bool = True
    asleep_until: int = 0  # suspended: nothing runs, the clock goes on
    woke_at: int = -(1 << 62)
    unaware: bool = False  # it was suspended, and the agent that lived then hasn't run since
    slept: Agent | None = None  # that agent
    agent: Agent | None = None
    disk: Durable = field(default_factory=Durable)
    disk_boot: int = 0
    disk_full: bool = False
    persist_ms: int = 1
    occupied: dict[HierarchyId, set[Tag]] = field(default_factory=dict)
    working: set[Tag] = field(default_factory=set)
    bites_at: int | None = None  # its lifeline, in the world's time; None: nothing runs on authority
    watched: bool = False  # somebody looks whether that is due
    slow: int = 1  # kits take so many times longer

    def clock(self, now: int) -> Instant:
        """CLOCK_BOOTTIME here."""
        gone = now - self.booted_at
        return Instant(FIRST_MS + gone + gone * self.drift // 10_000)

    def when(self, at: Instant) -> int:
        """The world's time at which this clock shows `at`, or a moment later."""
        return self.booted_at + (at - FIRST_MS) * 10_000 // (10_000 + self.drift) + 1

    def is_run_by(self, agent: Agent) -> bool:
        """Does this agent still live? Ask anew after whatever may have ended it."""
        return self.agent is agent

    def runs(self, hierarchy: HierarchyId) -> bool:
        """May any of it run here?"""
        return self.powered and bool(self.occupied.get(hierarchy))
