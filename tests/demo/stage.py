"""What every part of the demo's story needs: to say, to wait, to measure, and to insist."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.machines.client import Client, now_s
from tests.machines.lab import ClusterLab
from tests.machines.reference import HIERARCHY, ReferenceCluster

CALM_S = 0.5  # how long the client must have been served before a measurement ends
WITHIN_S = 20.0
_TOLD = {
    "peer-lost": "lost {peer}",
    "peer-alive": "hears {peer} again",
    "ownership-sought": "asks for the hierarchy: {text}",
    "ownership-denied": "doesn't get it: {text}",
    "ownership-taken": "owns it: {text}",
    "ownership-lost": "lost it: {text}",
    "in-service": "in service",
}

Cluster = ReferenceCluster[Any]
Routes = dict[str, dict[str, str]]


class DemoFailed(Exception):
    """Something didn't hold."""


@dataclass(kw_only=True)
class Measured:
    """What a demo leaves in a file, and which of its limits were missed."""

    missed: list[str] = field(default_factory=list)

    def judge(self, what: str, measured_s: float, limit_s: float) -> None:
        """Say what was measured; the story goes on where it is over its limit."""
        say(f"{what}: {measured_s:.3f} s (at most {limit_s} s)")
        if measured_s > limit_s:
            self.missed.append(f"{what}: {measured_s:.3f} s is more than {limit_s} s")

    def as_json(self) -> dict[str, Any]:
        """Plain values, seconds rounded to milliseconds."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in plain.items()}


def step(text: str) -> None:
    """A part of the story begins."""
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}== {time.strftime('%H:%M:%S')}  {text}{plain}\n", flush=True)


def say(text: str) -> None:
    """One line of it."""
    print(f"   {text}", flush=True)


def require(holds: bool, otherwise: str) -> None:
    """Raises DemoFailed, saying `otherwise`, unless it holds."""
    if not holds:
        raise DemoFailed(otherwise)


def measured(lab: ClusterLab, client: Client, since: float) -> float:
    """The longest gap from `since` until the client has been served for a while."""
    calm = now_s() + CALM_S
    lab.wait_until(lambda: client.working_since(calm), WITHIN_S, "the client is served again")
    return client.outage_s(since, calm)


def is_fit(lab: Cluster, node: str) -> bool:
    """Whether both nodes know that the node could take the hierarchy."""
    return all(lab.hierarchy(seen_by).nodes[node].eligible for seen_by in lab.nodes)


def fully_up(lab: ClusterLab, node: str) -> None:
    """Every comm path of every peer is up, as `node` sees it, and the hierarchy is in service there."""
    lab.wait_until(
        lambda: all(each.standing == "self" or each.comm == "up" for each in lab.status(node).nodes),
        WITHIN_S,
        "every comm path is up",
    )
    require(lab.in_service(node), f"{HIERARCHY} is not in service on {node}")


def require_routes(lab: Cluster, routes: Routes, node: str) -> None:
    """Both tables send the virtual address to that node."""
    wanted = lab.world.node(node).interfaces[0].id
    for table in lab.world.route_tables:
        target = routes[table].get(lab.world.destination)
        require(target == wanted, f"{table} sends {lab.world.destination} to {target}, not {node}'s {wanted}")


def show_routes(lab: Cluster, routes: Routes) -> None:
    """Where each table sends it."""
    owners = {eni.id: f"{node.name} {eni.device}" for node in lab.world.nodes for eni in node.interfaces}
    for table in lab.world.route_tables:
        target = routes[table].get(lab.world.destination, "")
        say(f"{table}: {lab.world.destination} -> {target or 'nowhere'} ({owners.get(target, 'unknown')})")


def chronicle(lab: ClusterLab, since: float, *nodes: str) -> list[str]:
    """Who decided what since then, as those nodes' events have it, e.g. "+ 2.01 s  db-02 lost db-01"."""
    told = sorted(
        (each.at_ms / 1_000 - since, f"{each.node} {_TOLD[each.kind].format(peer=each.peer, text=each.text)}")
        for node in nodes
        for each in lab.events(node)
        if each.at_ms / 1_000 >= since and each.kind in _TOLD
    )
    return [f"+{after_s:5.2f} s  {text}" for after_s, text in told]
