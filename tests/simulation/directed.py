"""Schedules made by hand, each for a rule of the protocol that drawn faults hardly ever need.

Three nodes without an arbiter, so that one peer's grant makes an owner: `OWNER` owns it and is cut off,
`CANDIDATE` takes over as soon as `VOTER`, a witness, lets it. They are lived and looked at as any other
world is. A schedule ends in the very millisecond in which the candidate owns it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from agent.core.events import Event
from agent.core.ids import HierarchyId, NodeId, Tag
from agent.core.messages import BringInService
from agent.core.model import Cluster, CommPath, Heartbeat, Hierarchy, Resource
from agent.core.states import Quorum
from tests.simulation.machine import Agent, Machine
from tests.simulation.options import MOST_DRIFT, PATHS, Options
from tests.simulation.run import HEALED_WITHIN, well
from tests.simulation.violation import Violation
from tests.simulation.world import World

OWNER, CANDIDATE, VOTER = NodeId("n1"), NodeId("n2"), NodeId("n3")
SERVICE = HierarchyId("h0")
INTERVAL_MS = 2_500
GRANT_MS = 8 * INTERVAL_MS
MARGIN_MS = GRANT_MS // 1_000  # the smallest that seeds draw: it hides no drift
WRITE_MS = WAY_MS = 1
SOON_MS = 4 * WAY_MS  # what was on its way has arrived


class Heard(NamedTuple):
    """What came to the voter."""

    at: int  # in the world's time
    life: int  # of the voter
    event: Event
    granted_until: int  # by then the owner will have ceased to count the voter's grant

    @property
    def granted(self) -> bool:
        """Did it count it still?"""
        return self.at < self.granted_until


class Scene(World):
    """All is well, and `OWNER` owns it; `drift` of ten thousand."""

    def __init__(self, drift: dict[NodeId, int] | None = None) -> None:
        self.voter_heard = list[Heard]()
        super().__init__(_options(drift or {}))
        assert self.run_until(lambda: well(self, SERVICE), HEALED_WITHIN * GRANT_MS)
        self.command(OWNER, BringInService(hierarchy=SERVICE, node=OWNER))  # whoever was up first
        self.run(10 * GRANT_MS)
        assert self.serving(SERVICE) == self.holders(SERVICE) == [OWNER]

    def step(self, machine: Machine, agent: Agent, event: Event) -> None:
        """Write down what comes to the voter."""
        if machine.name == VOTER:
            heard = Heard(self.now, agent.incarnation, event, self._granted_until())
            self.voter_heard.append(heard)
        super().step(machine, agent, event)

    def cut(self, sender: NodeId, receiver: NodeId) -> None:
        """One way, on every path; what is on its way arrives."""
        self.network.cuts |= {(path, sender, receiver) for path in PATHS}

    def part(self, one: NodeId, other: NodeId) -> None:
        """Both ways."""
        self.cut(one, other)
        self.cut(other, one)

    def wait_for(self, owner: NodeId, within_ms: int) -> None:
        """To the very millisecond in which this node counts itself the owner."""
        ends = self.now + within_ms
        while owner not in self.holders(SERVICE):
            assert self.now < ends, f"{owner} doesn't own it after {within_ms} ms"
            self.run(1)

    def _granted_until(self) -> int:
        """Until when the owner counts the voter's grant, in the world's time; 0: it counts none."""
        machine = self.machines[OWNER]
        claim = machine.agent.node.state.quorum.seats[SERVICE].claim if machine.agent is not None else None
        if claim is None or VOTER not in claim.lease.until:
            return 0
        return machine.when(claim.lease.until[VOTER])


def a_voter_restarts() -> Scene:
    """It knows whom it voted for, not until when it is bound, and is asked while the owner counts on it."""
    scene = Scene()
    scene.part(OWNER, CANDIDATE)
    scene.run(GRANT_MS)  # in a moment the candidate is free; the voter grants the owner as ever
    scene.part(OWNER, VOTER)
    scene.run(SOON_MS)  # no heartbeat of the owner's is left that would bind the new life
    scene.crash(VOTER)
    scene.start(VOTER)
    scene.wait_for(CANDIDATE, 4 * GRANT_MS)
    return scene


def clocks_run_apart() -> Scene:
    """The owner's is slow, its peers' are fast; what they hear last is answered, so no delay hides it."""
    scene = Scene({OWNER: -MOST_DRIFT, CANDIDATE: MOST_DRIFT, VOTER: MOST_DRIFT})
    scene.cut(OWNER, CANDIDATE)
    scene.cut(OWNER, VOTER)
    scene.run(INTERVAL_MS + SOON_MS)  # the answers
    scene.part(OWNER, CANDIDATE)
    scene.part(OWNER, VOTER)
    scene.wait_for(CANDIDATE, 4 * GRANT_MS)
    return scene


def a_new_life_is_heard_once() -> Scene:
    """The first heartbeat of an owner's new life echoes nothing, and yet is answered with a grant."""
    scene = Scene()
    scene.part(OWNER, CANDIDATE)
    scene.crash(OWNER)
    scene.run(GRANT_MS // 2)  # its services go on, and the promises to its former life run out
    scene.start(OWNER)
    scene.run(SOON_MS)
    scene.cut(OWNER, VOTER)  # no second one gets there
    scene.wait_for(OWNER, INTERVAL_MS + SOON_MS)  # the answer
    scene.part(OWNER, VOTER)
    scene.wait_for(CANDIDATE, 4 * GRANT_MS)
    return scene


Schedule = Callable[[], Scene]
SCHEDULES: dict[str, Schedule] = {  # by the breakage in `mutants` that each is made for
    "a_restarted_voter_is_free": a_voter_restarts,
    "no_allowance_for_drift": clocks_run_apart,
    "only_counted_heartbeats_bind": a_new_life_is_heard_once,
}


def fails(schedule: Schedule) -> Violation | None:
    """What a checker says of it, if one does."""
    try:
        schedule()
    except Violation as broken:
        return broken
    return None


def _options(drift: dict[NodeId, int]) -> Options:
    """Nothing but the quorum is in a takeover's way."""
    service = Hierarchy(
        name=SERVICE,
        resources=(Resource(tag=Tag("h0-low"), kit="generic"),),
        nodes=(OWNER, CANDIDATE),
    )
    cluster = Cluster(
        name="directed",
        nodes=(OWNER, CANDIDATE, VOTER),
        witnesses=(VOTER,),
        paths=tuple(CommPath(name=path, priority=i + 1) for i, path in enumerate(PATHS)),
        hierarchies=(service,),
        heartbeat=Heartbeat(interval_ms=INTERVAL_MS, dead_after_ms=GRANT_MS),
        quorum=Quorum.MAJORITY,
        takeover_margin_ms=MARGIN_MS,
        startup_grace_ms=4 * GRANT_MS,
    )
    return Options(
        seed=0,
        cluster=cluster,
        scale=1,
        drift=drift,
        guarded=True,
        persist_ms=WRITE_MS,
        way_ms=WAY_MS,
        mirrored=False,
        faults=0,
        fault_every_ms=0,
    )
