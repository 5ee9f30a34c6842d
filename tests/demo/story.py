"""The demo's story, part by part, and what must hold in each."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.api.reports import TimelineReport
from tests.demo import partition
from tests.demo.stage import (
    WITHIN_S,
    Measured,
    Routes,
    fully_up,
    is_fit,
    measured,
    require,
    require_routes,
    say,
    show_routes,
    step,
)
from tests.machines.client import Client, now_s
from tests.machines.lab import HIERARCHY, VIRTUAL_ADDRESS, ClusterLab

LOST_LIMIT_S = 2.6  # dead_after and takeover_margin of the balanced preset, and half a second
SWITCHOVER_LIMIT_S = 0.3
PARTED_LIMIT_S = 0.3  # nothing moves: what remains is how long a busy machine makes a client wait


@dataclass(kw_only=True)
class Figures(Measured):
    """What build/demo.json holds."""

    failover_outage_s: float = 0.0
    switchover_outage_s: float = 0.0  # the shortest of the three
    switchover_outages_s: list[float] = field(default_factory=list)
    routes_before: Routes = field(default_factory=dict)
    routes_after: Routes = field(default_factory=dict)
    timeline: TimelineReport | None = None
    parted_outage_s: float = 0.0  # both paths between the nodes cut, while both reach AWS
    parted_story: list[str] = field(default_factory=list)
    cut_outage_s: float = 0.0  # the owner cut off from everything
    cut_harmless_s: float = 0.0  # after the cut
    cut_story: list[str] = field(default_factory=list)
    cut_timeline: TimelineReport | None = None


def tell(lab: ClusterLab, figures: Figures) -> None:
    """From the start to the last cut. Raises DemoFailed, CommandFailed or TimedOut."""
    client = _begin(lab, figures)
    _lose_power(lab, client, figures)
    _come_back(lab)
    _move_back(lab, client, figures)
    _cut_off(lab, client, figures)
    _come_back(lab)
    _part(lab, client, figures)
    client.stop()


def _begin(lab: ClusterLab, figures: Figures) -> Client:
    step("Two nodes, two networks, two availability zones, an arbiter: db-01 and db-02 start")
    lab.start()
    lab.begin_on("db-01")
    client = lab.start_client()
    lab.wait_until(lambda: client.working_since(0), WITHIN_S, "the client's writes are answered")
    fully_up(lab, "db-01")
    print(lab.kage_text("db-01", "status"))
    say(f"A client in each app subnet writes through {VIRTUAL_ADDRESS} every 5 ms.")
    figures.routes_before = lab.cloud.routes()
    show_routes(lab, figures.routes_before)
    return client


def _lose_power(lab: ClusterLab, client: Client, figures: Figures) -> None:
    step("db-01 dies: all its links go down and every process is killed")
    since = now_s()
    lab.network.cut("db-01")
    lab.power_off("db-01")
    lab.wait_in_service("db-02", WITHIN_S)
    figures.failover_outage_s = measured(lab, client, since)
    figures.timeline = _failovers_timeline(lab)
    figures.routes_after = lab.cloud.routes()
    show_routes(lab, figures.routes_after)
    require_routes(lab, figures.routes_before, "db-01")
    require_routes(lab, figures.routes_after, "db-02")
    figures.judge("outage that the client measured", figures.failover_outage_s, LOST_LIMIT_S)


def _come_back(lab: ClusterLab) -> None:
    step("db-01 comes back and is fit to take over; nothing moves until an operator asks")
    lab.network.heal("db-01")
    lab.start("db-01")
    lab.wait_until(lambda: is_fit(lab, "db-01"), WITHIN_S, "db-01 is fit to take over")
    fully_up(lab, "db-02")
    require(lab.in_service("db-02"), f"{HIERARCHY} left db-02 unasked")
    print(lab.kage_text("db-02", "status"))


def _move_back(lab: ClusterLab, client: Client, figures: Figures) -> None:
    step(f"An operator moves it back: kage in-service {HIERARCHY} --node db-01")
    outages = [_switchover(lab, client, "db-01")]
    require_routes(lab, lab.cloud.routes(), "db-01")
    fully_up(lab, "db-01")
    say(f"outage that the client measured: {outages[0]:.3f} s; there and back once more:")
    outages += [_switchover(lab, client, node) for node in ("db-02", "db-01")]
    figures.switchover_outages_s = [round(each, 3) for each in outages]
    figures.switchover_outage_s = min(outages)  # whatever else the machine does only adds to it
    say(f"outages that the client measured: {', '.join(f'{each:.3f}' for each in outages)} s")
    figures.judge("the shortest of the three", figures.switchover_outage_s, SWITCHOVER_LIMIT_S)


def _cut_off(lab: ClusterLab, client: Client, figures: Figures) -> None:
    fully_up(lab, "db-01")
    lab.wait_until(lambda: is_fit(lab, "db-02"), WITHIN_S, "db-02 is fit to take over")
    step("db-01 is cut off from everything: it fences itself, then db-02 starts")
    figures.cut_outage_s, figures.cut_harmless_s, figures.cut_story = partition.cut_off(lab, client)
    figures.cut_timeline = _failovers_timeline(lab)
    print(lab.kage_text("db-02", "status"))
    figures.judge("outage that the client measured", figures.cut_outage_s, LOST_LIMIT_S)


def _part(lab: ClusterLab, client: Client, figures: Figures) -> None:
    step("Both paths between the nodes are cut, and both reach AWS: the owner takes the arbiter's vote")
    figures.parted_outage_s, figures.parted_story = partition.part(lab, client)
    figures.judge("longest wait that the client measured", figures.parted_outage_s, PARTED_LIMIT_S)


def _failovers_timeline(lab: ClusterLab) -> TimelineReport:
    newest = next((each for each in lab.timelines("db-02") if each.cause == "failover"), None)
    require(newest is not None and newest.complete, "db-02 has no complete timeline of the failover")
    print("\n" + lab.kage_text("db-02", "timeline"))
    assert newest is not None
    return newest


def _switchover(lab: ClusterLab, client: Client, node: str) -> float:
    lab.wait_until(lambda: is_fit(lab, node), WITHIN_S, f"{node} is fit to take over")
    since = now_s()
    print(lab.kage_text(node, "in-service", HIERARCHY, "--node", node))
    lab.wait_in_service(node, WITHIN_S)
    return measured(lab, client, since)
