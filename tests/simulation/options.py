"""One seed's cluster: its shape, its timing, its kits and its clocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random

from agent.core import commands, endings, gates, reconcile, verbs
from agent.core.authority import arbitration, ledger
from agent.core.ids import HierarchyId, NodeId, PathId, Tag
from agent.core.model import Cluster, CommPath, Confirmation, Heartbeat, Hierarchy, Limits, Resource
from agent.core.states import Fencing, OnAuthorityLost, Quorum, Switchback

PATHS = (PathId("eni-0"), PathId("eni-1"))
MOST_DRIFT = 45  # of ten thousand: two clocks run apart by at most 0.9 %, within the allowance of 1 %
SCALES = (1, 10, 100)  # of the balanced preset (250 ms and 2 s), and of every time in the core with it
_TIMES = (
    (arbitration, ("READ_EVERY_MS", "RETRY_MS", "RETRY_CALMLY_MS")),
    (commands, ("FORWARD_LIMIT_MS",)),
    (verbs, ("WANTED_FOR_MS",)),
    (endings, ("RETRY_FIRST_MS", "RETRY_MOST_MS")),
    (gates, ("PROBE_LIMIT_MS", "FENCE_AGAIN_MS")),
    (ledger, ("RETRY_MS",)),
    (reconcile, ("TRY_AGAIN_FIRST_MS", "TRY_AGAIN_MOST_MS")),
)


@dataclass(frozen=True)
class Options:
    """What the world is made of. `G` is dead_after, in the world's milliseconds."""

    seed: int
    cluster: Cluster
    scale: int
    drift: dict[NodeId, int]  # of ten thousand
    guarded: bool  # by a process; else by a watchdog
    persist_ms: int  # a record takes so long
    way_ms: int  # and a datagram
    mirrored: bool  # hierarchies hold replicated data
    faults: int
    fault_every_ms: int

    @property
    def grant_ms(self) -> int:
        """G."""
        return self.cluster.heartbeat.dead_after_ms


def draw(seed: int, *, scale: int = 0, most_faults: int = 25) -> Options:
    """The same seed always draws the same."""
    random = Random(seed)
    scale = scale or random.choice(SCALES)
    count = random.choice((2, 2, 2, 2, 3, 3, 3, 4, 5))
    nodes = tuple(NodeId(f"n{i + 1}") for i in range(count))
    witnesses = nodes[2:3] if count > 2 and random.random() < 0.4 else ()
    interval_ms = 250 * scale
    grant_ms = interval_ms * random.choice((4, 5, 6, 8))
    paths = tuple(CommPath(name=path, priority=i + 1) for i, path in enumerate(PATHS))
    paths = paths[: random.choice((1, 2))]
    stop = random.random() < 0.3
    cluster = Cluster(
        name="simulated",
        nodes=nodes,
        paths=paths,
        hierarchies=tuple(
            _hierarchy(f"h{i}", nodes, witnesses, grant_ms, random)
            for i in range(random.choice((1, 1, 1, 1, 2)))
        ),
        heartbeat=Heartbeat(interval_ms=interval_ms, dead_after_ms=grant_ms),
        quorum=Quorum.MAJORITY,
        witnesses=witnesses,
        arbiter=count == 2 or random.random() < 0.4,
        takeover_margin_ms=grant_ms // random.choice((20, 20, 1_000)),
        on_authority_lost=OnAuthorityLost.STOP if stop else OnAuthorityLost.REBOOT,
        stop_within_ms=grant_ms if stop else 0,
        fencing=random.choice((Fencing.NONE, Fencing.NONE, Fencing.BESIDE, Fencing.REQUIRED)),
        isolation_check=random.random() < 0.3,
        startup_grace_ms=grant_ms * 4,
    )
    options = Options(
        seed=seed,
        cluster=cluster,
        scale=scale,
        drift={node: random.randint(-MOST_DRIFT, MOST_DRIFT) for node in nodes},
        guarded=random.random() < 0.5,
        persist_ms=max(1, int(grant_ms * random.choice((0, 0.005, 0.05)))),
        way_ms=max(1, int(grant_ms * random.choice((0, 0.001, 0.02)))),
        mirrored=random.random() < 0.6,
        faults=random.randint(1, most_faults),
        fault_every_ms=int(grant_ms * random.choice((0.3, 1, 3))),
    )
    return replace(options, cluster=_replicated(cluster)) if options.mirrored else options


@contextmanager
def scaled(scale: int) -> Iterator[None]:
    """Stretch the core's own times too: the same life, told in coarser units."""
    before = [(module, name, getattr(module, name)) for module, names in _TIMES for name in names]
    try:
        for module, name, ms in before:
            setattr(module, name, ms * scale)
        yield
    finally:
        for module, name, ms in before:
            setattr(module, name, ms)


def _replicated(cluster: Cluster) -> Cluster:
    """The same, each hierarchy on a replicated resource."""

    def on_replicas(spec: Hierarchy) -> Hierarchy:
        return replace(spec, resources=(replace(spec.resources[0], replicated=True), *spec.resources[1:]))

    return replace(cluster, hierarchies=tuple(map(on_replicas, cluster.hierarchies)))


def _hierarchy(
    name: str, nodes: tuple[NodeId, ...], witnesses: tuple[NodeId, ...], grant_ms: int, random: Random
) -> Hierarchy:
    able = [node for node in nodes if node not in witnesses]
    random.shuffle(able)
    limits = Limits(
        restore_ms=grant_ms * 4, remove_ms=grant_ms * 2, check_ms=grant_ms, recover_ms=grant_ms * 4
    )
    low, high = Tag(f"{name}-low"), Tag(f"{name}-high")
    interval_ms = grant_ms * random.choice((2, 5))
    resources = [Resource(tag=low, kit="generic", limits=limits, check_interval_ms=interval_ms)]
    if random.random() < 0.5:
        resources.append(
            Resource(tag=high, kit="generic", limits=limits, check_interval_ms=interval_ms, depends_on=(low,))
        )
    return Hierarchy(
        name=HierarchyId(name),
        resources=tuple(resources),
        nodes=tuple(able),
        switchback=random.choice(tuple(Switchback)),
        switchback_after_ms=grant_ms * 2,
        failure_timeout_ms=grant_ms * 20,
        confirm=Confirmation(within_ms=grant_ms * 3, default=random.random() < 0.5)
        if random.random() < 0.15
        else None,
    )
