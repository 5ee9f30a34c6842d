"""The demo's story, step by step, and what must hold in each."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from agent.api.reports import TimelineReport
from tests.machines.client import Client, now_s
from tests.machines.lab import HIERARCHY, VIRTUAL_ADDRESS, ClusterLab

FAILOVER_LIMIT_S = 2.5
SWITCHOVER_LIMIT_S = 0.3
CALM_S = 0.5  # how long the client must have been served before a measurement ends

Routes = dict[str, dict[str, str]]


class DemoFailed(Exception):
    """Something didn't hold."""


@dataclass
class Figures:
    """What build/demo.json holds."""

    failover_outage_s: float = 0.0
    switchover_outage_s: float = 0.0  # the shortest of the three
    switchover_outages_s: list[float] = field(default_factory=list)
    routes_before: Routes = field(default_factory=dict)
    routes_after: Routes = field(default_factory=dict)
    timeline: TimelineReport | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values, seconds rounded to milliseconds."""
        plain = asdict(self)
        for name in ("failover_outage_s", "switchover_outage_s"):
            plain[name] = round(plain[name], 3)
        return plain


def tell(lab: ClusterLab, figures: Figures) -> None:
    """Start, kill, fail over, return, switch over. Raises DemoFailed, CommandFailed or TimedOut."""
    _step("Two nodes, two networks, two availability zones: db-01 and db-02 start")
    lab.start()
    lab.wait_in_service("db-01")
    client = lab.start_client()
    lab.wait_until(lambda: client.working_since(0), 10, "the client's writes are answered")
    _fully_up(lab, "db-01")
    print(lab.kage_text("db-01", "status"))
    _say(f"A client in each app subnet writes through {VIRTUAL_ADDRESS} every 5 ms.")
    figures.routes_before = lab.cloud.routes()
    _show_routes(lab, figures.routes_before)

    _step("db-01 dies: all its links go down and every process is killed")
    figures.failover_outage_s = _failover(lab, client)
    timelines = [each for each in lab.timelines("db-02") if each.cause == "failover"]
    _require(bool(timelines) and timelines[0].complete, "db-02 has no complete timeline of the failover")
    figures.timeline = timelines[0]
    print(lab.kage_text("db-02", "timeline"))
    figures.routes_after = lab.cloud.routes()
    _show_routes(lab, figures.routes_after)
    _require_routes(lab, figures.routes_before, "db-01")
    _require_routes(lab, figures.routes_after, "db-02")
    _verdict("outage that the client measured", figures.failover_outage_s, FAILOVER_LIMIT_S)

    _step("db-01 comes back and is fit to take over; nothing moves until an operator asks")
    lab.network.heal("db-01")
    lab.start("db-01")
    lab.wait_until(lambda: _is_fit(lab, "db-01"), 20, "db-01 is fit to take over")
    _fully_up(lab, "db-02")
    _require(lab.in_service("db-02"), f"{HIERARCHY} left db-02 unasked")
    print(lab.kage_text("db-02", "status"))

    _step(f"An operator moves it back: kage in-service {HIERARCHY} --node db-01")
    outages = [_switchover(lab, client, "db-01")]
    _require_routes(lab, lab.cloud.routes(), "db-01")
    _fully_up(lab, "db-01")
    _say(f"outage that the client measured: {outages[0]:.3f} s; there and back once more:")
    outages += [_switchover(lab, client, node) for node in ("db-02", "db-01")]
    figures.switchover_outages_s = [round(each, 3) for each in outages]
    figures.switchover_outage_s = min(outages)  # whatever else the machine does only adds to it
    _say(f"outages that the client measured: {', '.join(f'{each:.3f}' for each in outages)} s")
    _verdict("the shortest of the three", figures.switchover_outage_s, SWITCHOVER_LIMIT_S)
    _fully_up(lab, "db-01")
    print(lab.kage_text("db-01", "status"))
    client.stop()


def _failover(lab: ClusterLab, client: Client) -> float:
    since = now_s()
    lab.network.cut("db-01")
    lab.power_off("db-01")
    lab.wait_in_service("db-02", 20)
    return _measured(lab, client, since)


def _switchover(lab: ClusterLab, client: Client, node: str) -> float:
    lab.wait_until(lambda: _is_fit(lab, node), 20, f"{node} is fit to take over")
    since = now_s()
    print(lab.kage_text(node, "in-service", HIERARCHY, "--node", node))
    lab.wait_in_service(node, 20)
    return _measured(lab, client, since)


def _measured(lab: ClusterLab, client: Client, since: float) -> float:
    """The longest gap from `since` until the client has been served for a while."""
    calm = now_s() + CALM_S
    lab.wait_until(lambda: client.working_since(calm), 20, "the client is served again")
    return client.outage_s(since, calm)


def _is_fit(lab: ClusterLab, node: str) -> bool:
    return all(lab.hierarchy(seen_by).nodes[node].eligible for seen_by in lab.nodes)


def _fully_up(lab: ClusterLab, node: str) -> None:
    """Every comm path of every peer is up, as `node` sees it, and the hierarchy is in service there."""
    lab.wait_until(
        lambda: all(each.standing == "self" or each.comm == "up" for each in lab.status(node).nodes),
        20,
        "every comm path is up",
    )
    _require(lab.in_service(node), f"{HIERARCHY} is not in service on {node}")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoFailed(otherwise)


def _require_routes(lab: ClusterLab, routes: Routes, node: str) -> None:
    wanted = lab.world.node(node).interfaces[0].id
    for table in lab.world.route_tables:
        target = routes[table].get(lab.world.destination)
        _require(
            target == wanted, f"{table} sends {lab.world.destination} to {target}, not {node}'s {wanted}"
        )


def _show_routes(lab: ClusterLab, routes: Routes) -> None:
    owners = {eni.id: f"{node.name} {eni.device}" for node in lab.world.nodes for eni in node.interfaces}
    for table in lab.world.route_tables:
        target = routes[table].get(lab.world.destination, "")
        _say(f"{table}: {lab.world.destination} -> {target or 'nowhere'} ({owners.get(target, 'unknown')})")


def _verdict(what: str, measured_s: float, limit_s: float) -> None:
    _say(f"{what}: {measured_s:.3f} s (at most {limit_s} s)")
    _require(measured_s <= limit_s, f"{what}: {measured_s:.3f} s is more than {limit_s} s")


def _step(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}== {time.strftime('%H:%M:%S')}  {text}{plain}\n", flush=True)


def _say(text: str) -> None:
    print(f"   {text}", flush=True)
