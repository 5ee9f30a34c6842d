"""What stands under a hierarchy in `kage status`: what it waits for, what went wrong, and what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from agent.api.lookup import is_in_service
from agent.api.mirrors import MirrorReport
from agent.api.reports import HierarchyView, WaitView
from agent.cli.copying import progress
from agent.cli.screen import Cell


def remarks(hierarchy: HierarchyView, seen_from: str, mirrors: Sequence[MirrorReport]) -> Iterator[Cell]:
    """Nothing at all where all is well; `seen_from` is the node that answered.

    `mirrors` tell how far copies are, as far as somebody asked.
    """
    if hierarchy.held and hierarchy.owner is None:
        yield Cell(f"kage in-service {hierarchy.name} starts it again", "dim")
    if left_running(hierarchy):
        off = f"kage in-service {hierarchy.name} --owner-is-off {hierarchy.owner}"
        yield Cell(f"nobody takes it over: start the agent there, or if that machine is off: {off}", "yellow")
    for name, on in hierarchy.nodes.items():
        if on.waits is not None:
            yield Cell(why_it_waits(hierarchy, name, on.waits, seen_from), "yellow")
    yield from _without_copies(hierarchy, mirrors)
    for name, on in hierarchy.nodes.items():
        if not on.eligible and on.why_not:
            yield Cell(f"{name} can't run it: {on.why_not}", "yellow")
    for resource in hierarchy.resources:
        for name, state in resource.nodes.items():
            if state.why:
                style = "red" if state.state == "OSF" else "yellow"
                yield Cell(f"{resource.tag} on {name}: {state.why}", style)


def lacks_copies(hierarchy: HierarchyView) -> bool:
    """Does it go on, though some node's copy of its data isn't whole?"""
    return bool(hierarchy.in_sync) and is_in_service(hierarchy) and bool(_lacking(hierarchy))


def _lacking(hierarchy: HierarchyView) -> list[str]:
    return [name for name in hierarchy.nodes if name not in hierarchy.in_sync]


def _without_copies(hierarchy: HierarchyView, mirrors: Sequence[MirrorReport]) -> Iterator[Cell]:
    if not lacks_copies(hierarchy):
        return
    tags, lacking = [each.tag for each in hierarchy.resources if each.replicated], _lacking(hierarchy)
    yield Cell(f"{', '.join(tags)} goes on without {' and '.join(lacking)}: see kage mirror status", "yellow")
    for mirror in mirrors:
        legs = (mirror.leg(node) for node in lacking if mirror.tag in tags)
        for leg in legs:
            if leg is not None and (text := progress(leg)):
                yield Cell(f"{mirror.tag} on {leg.node}: {text}", "cyan")


def left_running(hierarchy: HierarchyView) -> bool:
    """Was the owner's agent stopped, and is still?"""
    owner = hierarchy.nodes.get(hierarchy.owner or "")
    return hierarchy.unattended and owner is not None and owner.phase == "unknown"


def why_it_waits(hierarchy: HierarchyView, node: str, waits: WaitView, seen_from: str) -> str:
    """What that node waits for, and what ends the wait."""
    match waits.reason:
        case "isolated":
            return f"{node} doesn't take it: it reaches too little of the outside (isolation_check)"
        case "votes":
            return f"{node} doesn't take it: no majority votes for it; others may hear its owner"
        case "confirming":
            return _confirming(hierarchy.name, node, waits)
        case "fencing":
            return _fencing(hierarchy.name, node, waits, seen_from)
        case _:  # a newer agent's
            return f"{node} waits: {waits.reason}"


def _confirming(name: str, node: str, waits: WaitView) -> str:
    if waits.answered is False:
        return f"{node} leaves it to {_all(waits.lost)}, as answered; to take it: kage confirm {name} yes"
    asked = f"{node} waits for your word: kage confirm {name} yes (or no)"
    if waits.default_time is None:
        return asked
    by = time.strftime("%H:%M:%S", time.localtime(waits.default_time))
    return f"{asked}; by {by} the answer is {'yes' if waits.default else 'no'}"


def _fencing(name: str, node: str, waits: WaitView, seen_from: str) -> str:
    text = f"{node} waits for the fencing of {_all(waits.lost)}"
    if waits.why:
        text += f": {waits.why}"
    who = waits.lost[0] if len(waits.lost) == 1 else "NODE"
    where = "" if node == seen_from else f"on {node}: "
    off = f"{where}kage in-service {name} --owner-is-off {who}"
    return f"{text}; if that machine is certainly off: {off}"


def _all(names: list[str]) -> str:
    return " and ".join(names) or "whoever is lost"
