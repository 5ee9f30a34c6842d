"""What a client sees when the active node dies, and when an operator moves the service."""

from __future__ import annotations

from collections.abc import Iterator

from agent.api.reports import TimelineReport
from tests.bench.figures import Figure, medians
from tests.machines.client import Client, now_s
from tests.machines.lab import EXAMPLE, HIERARCHY, NODES, PORT, ClusterLab
from tests.machines.settings import Settings

CALM_S = 0.5  # how long the client must have been served before and after a measurement
WITHIN_S = 30.0
RESOURCE = f"hierarchy.{HIERARCHY}.resource"
ADDRESS_AND_ROUTE: Settings = {
    f"{RESOURCE}.cyss_cbgrn": None,
    f"{RESOURCE}.cyde_5_0": None,
    f"{RESOURCE}.fs-dir1": None,
    f"{RESOURCE}.route-vip.depends_on": [],
}
ENGINE = ("python3", "-BES", str(EXAMPLE / "apps/cyde.py"), "start", str(PORT), "/run/data", "/run/lock")


def outages(preset: str, times: int) -> Iterator[Figure]:
    """The demo's hierarchy, each move from whichever node is active to the other."""
    with ClusterLab({"cluster.preset": preset}) as lab:
        client = _started(lab)
        seen = [_switchover(lab, client) for _ in range(times)]
        yield _figure(f"switchover, {preset}", seen, 0.3)
        seen = [_failover(lab, client) for _ in range(times)]
        yield _figure(f"failover after a power cut, {preset}", seen, {"balanced": 2.4, "fast": 0.6}[preset])


def address_and_route(times: int) -> Iterator[Figure]:
    """Switchovers of an address and a route alone; an application runs on both nodes all the time."""
    with ClusterLab(ADDRESS_AND_ROUTE) as lab:
        client = _started(lab, ENGINE)
        seen = [_switchover(lab, client) for _ in range(times)]
        yield _figure("switchover of address and route only, balanced", seen, 0.05)


def address_beside_route(times: int) -> Iterator[Figure]:
    """The same, when neither of the two waits for the other; for comparison."""
    with ClusterLab({**ADDRESS_AND_ROUTE, f"{RESOURCE}.ip-vip.depends_on": []}) as lab:
        client = _started(lab, ENGINE)
        seen = [_switchover(lab, client) for _ in range(times)]
        yield _figure("the same, address beside route", seen, None)


def removal(times: int) -> Iterator[Figure]:
    """How long `remove` of address and route takes on a node without any network."""
    with ClusterLab({**ADDRESS_AND_ROUTE, "cluster.startup_grace": "1s"}) as lab:
        lab.start("db-01")
        seconds = []
        for _ in range(times):
            lab.wait_in_service("db-01")
            lab.network.cut("db-01")
            lab.api("db-01").take_out_of_service(HIERARCHY)
            lab.wait_until(lambda: lab.hierarchy("db-01").nodes["db-01"].phase == "stopped", 10, "stopped")
            seconds.append((lab.events("db-01", "out-of-service")[-1].took_ms or 0) / 1_000)
            lab.network.heal()
            lab.api("db-01").bring_in_service(HIERARCHY)
        yield Figure("remove of address and route, no network", "s", tuple(seconds), 0.2)


def _started(lab: ClusterLab, application: tuple[str, ...] | None = None) -> Client:
    lab.start()
    for node in NODES:
        if application:
            lab.machines[node].run(*application)
    lab.begin_on("db-01")
    client = lab.start_client()
    _ready(lab, client)
    return client


def _ready(lab: ClusterLab, client: Client) -> None:
    """Both nodes could take it, and the client is served."""
    lab.wait_until(
        lambda: (
            all(on.eligible for node in NODES for on in lab.hierarchy(node).nodes.values())
            and all(each.comm == "up" for node in NODES for each in lab.status(node).nodes)
        ),
        WITHIN_S,
        "both nodes are fit to run it",
    )
    calm = now_s() + CALM_S
    lab.wait_until(lambda: client.working_since(calm), WITHIN_S, "the client is served")


def _failover(lab: ClusterLab, client: Client) -> tuple[float, TimelineReport]:
    active, standby = _roles(lab)
    since = now_s()
    lab.power_off(active)
    seen = _after(lab, client, since, standby)
    lab.start(active)
    _ready(lab, client)
    return seen


def _switchover(lab: ClusterLab, client: Client) -> tuple[float, TimelineReport]:
    active, standby = _roles(lab)
    since = now_s()
    lab.api(active).bring_in_service(HIERARCHY, standby)
    seen = _after(lab, client, since, standby)
    _ready(lab, client)
    return seen


def _after(lab: ClusterLab, client: Client, since: float, new: str) -> tuple[float, TimelineReport]:
    """The longest gap from `since` until the client has been served for a while."""
    lab.wait_in_service(new)
    calm = now_s() + CALM_S
    lab.wait_until(lambda: client.working_since(calm), WITHIN_S, "the client is served again")
    return client.outage_s(since, calm), lab.timelines(new)[0]


def _roles(lab: ClusterLab) -> tuple[str, str]:
    active = next(node for node in NODES if lab.in_service(node))
    return active, next(node for node in NODES if node != active)


def _figure(what: str, seen: list[tuple[float, TimelineReport]], budget_s: float | None) -> Figure:
    steps = [
        [(step.name.partition(" of ")[0], step.length_ms) for step in timeline.steps] for _, timeline in seen
    ]
    return Figure(f"{what}: outage", "s", tuple(outage for outage, _ in seen), budget_s, medians(steps))
