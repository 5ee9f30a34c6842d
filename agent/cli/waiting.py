"""Waits until a hierarchy is where an operator wants it. Judges by reports alone and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from agent.api.client import AgentClient
from agent.api.errors import Unreachable
from agent.api.lookup import find_hierarchy
from agent.api.reports import HierarchyView
from agent.cli.remarks import why_it_waits
from agent.cli.status_view import DOING, doing, failure, summary

POLL_S = 0.1
HOPELESS_AFTER_S = 2.0  # out of reach for so long is failed: reports of other nodes come in late


@dataclass(frozen=True)
class Look:
    """One look at a hierarchy: there, or out of reach for a reason, or on its way."""

    reached: bool = False
    hopeless: str = ""


Goal = Callable[[HierarchyView], Look]


@dataclass(frozen=True)
class Waited:
    """How waiting ended; `timed_out` tells giving up from failing."""

    reached: bool
    text: str
    took_s: float
    timed_out: bool = False


def in_service_on(node: str | None) -> Goal:
    """In service on that node (None: on any)."""

    def look(hierarchy: HierarchyView) -> Look:
        owner = hierarchy.owner
        broken = failure(hierarchy)
        if (
            owner is not None
            and node in {None, owner}
            and _phase(hierarchy, owner) == "running"
            and not broken
        ):
            return Look(reached=True)
        return Look(hopeless=_stuck(hierarchy) or broken or _unfit(hierarchy, node))

    return look


def out_of_service(hierarchy: HierarchyView) -> Look:
    """Held, and stopped on every node that is heard."""
    phases = {on.phase for on in hierarchy.nodes.values()}
    if hierarchy.held and hierarchy.owner is None and phases <= {"stopped", "unknown"}:
        return Look(reached=True)
    return Look(hopeless=_stuck(hierarchy))


def recovered(tag: str) -> Goal:
    """The resource is in service with its hierarchy; one held out of service only has failures to forget."""

    def look(hierarchy: HierarchyView) -> Look:
        owner = hierarchy.owner
        if owner is None:
            return Look(reached=hierarchy.held, hopeless=_unfit(hierarchy, None))
        on = next((each.nodes.get(owner) for each in hierarchy.resources if each.tag == tag), None)
        calm = on is not None and on.state in {"ISP", "ISU"} and on.action not in DOING
        if calm and _phase(hierarchy, owner) == "running":
            return Look(reached=True)
        return Look(hopeless=_stuck(hierarchy) or failure(hierarchy))

    return look


def wait(client: AgentClient, name: str, goal: Goal, limit_s: float, tell: Callable[[str], None]) -> Waited:
    """Look again and again until `goal` is reached, out of reach, or `limit_s` has passed.

    `tell` gets what is in progress. An agent that doesn't answer is waited for within `limit_s`, then
    Unreachable is raised.
    """
    began = time.monotonic()
    hopeless_since: float | None = None
    while True:
        now = time.monotonic()
        took_s = now - began
        try:
            status = client.status()
        except Unreachable as exc:
            if took_s >= limit_s:
                raise
            tell(exc.text)
            time.sleep(POLL_S)
            continue
        hierarchy = find_hierarchy(status, name)
        if hierarchy is None:
            return Waited(reached=False, text=f"{name} is no longer configured", took_s=took_s)
        look = goal(hierarchy)
        if look.reached:
            return Waited(reached=True, text=f"{hierarchy.name} is {summary(hierarchy)}", took_s=took_s)
        hopeless_since = (hopeless_since or now) if look.hopeless else None
        if hopeless_since is not None and now - hopeless_since >= HOPELESS_AFTER_S:
            return Waited(reached=False, text=look.hopeless, took_s=took_s)
        progress = doing(hierarchy) or _held_up(hierarchy, status.node)
        if took_s >= limit_s:
            return Waited(
                reached=False, text=f"not reached in time: {progress}", took_s=took_s, timed_out=True
            )
        tell(progress)
        time.sleep(POLL_S)


def _held_up(hierarchy: HierarchyView, seen_from: str) -> str:
    """What it waits for, or else where it is."""
    for name, on in hierarchy.nodes.items():
        if on.waits is not None:
            return why_it_waits(hierarchy, name, on.waits, seen_from)
    return f"{hierarchy.name} is {summary(hierarchy)}"


def _phase(hierarchy: HierarchyView, node: str) -> str:
    return hierarchy.nodes[node].phase if node in hierarchy.nodes else "unknown"


def _stuck(hierarchy: HierarchyView) -> str:
    stuck = [name for name, on in hierarchy.nodes.items() if on.phase == "stuck"]
    return f"remove failed in every way on {', '.join(stuck)}, which fences itself" if stuck else ""


def _unfit(hierarchy: HierarchyView, node: str | None) -> str:
    """Why nothing will start where it is wanted; empty as long as something may."""
    wanted = {name: on for name, on in hierarchy.nodes.items() if node in {None, name}}
    if any(on.eligible or on.phase not in {"stopped", "unknown"} for on in wanted.values()):
        return ""
    return "; ".join(f"{name} can't run it: {on.why_not or 'not eligible'}" for name, on in wanted.items())
