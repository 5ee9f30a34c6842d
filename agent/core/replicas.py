"""Whose copies of a hierarchy's data may be used, and who says so.

Keeps:
- the register's `in_sync` names copies that hold every acknowledged write, and no other; a copy is dropped
  from it before a write is acknowledged without it, and listed again once it is whole. Kits see to the
  first half: they go on without a copy only when that is `agreed`;
- with several replicated resources a node is in sync when its copy of each of them is;
- a node outside `in_sync` takes nothing over. Only an operator's word sets that aside, for the one node that
  he names, and that word is recorded with the takeover, by the same majority.
"""

from __future__ import annotations

from agent.core.authority.contract import Standing
from agent.core.effects import Effect, Kind, Severity
from agent.core.events import ReplicasChanged
from agent.core.ids import HierarchyId, Instant, NodeId
from agent.core.mind import Mind, notice
from agent.core.states import PeerStanding


def changed(mind: Mind, event: ReplicasChanged) -> list[Effect]:
    """A kit here says which copies are whole. Only the owner's word counts; kits ask until it is agreed."""
    name, at = event.hierarchy, event.at
    if name not in mind.machines or mind.authority.standing(name, at) is not Standing.HELD:
        return []
    spec, life = mind.machines[name].spec, mind.machines[name].life
    life.replicas[event.tag] = event.in_sync
    before = mind.authority.register(name).in_sync
    # Of a resource whose kit hasn't spoken yet nothing better is known than what the register says.
    said = [set(life.replicas.get(tag, before)) for tag in spec.replicated]
    after = tuple(node for node in spec.nodes if all(node in each for each in said))
    if not after or after == before:
        return []
    effects = mind.authority.amend(name, in_sync=after)
    dropped, added = set(before) - set(after), set(after) - set(before)
    changes = [f"{node} is in sync again" for node in spec.nodes if node in added]
    changes += [f"goes on without {node}" for node in spec.nodes if node in dropped]
    if not life.arrived and any(mind.standing_of(node) is PeerStanding.LOST for node in dropped):
        changes += [f"{each.tag}: {each.may_lose}" for each in spec.resources if each.may_lose]
    severity = Severity.ALARM if dropped else Severity.INFO
    return [*effects, notice(at, Kind.REPLICAS_CHANGED, severity, "; ".join(changes), name)]


def agreed(mind: Mind, name: HierarchyId, nodes: tuple[NodeId, ...], at: Instant) -> bool:
    """Does whoever may own it later know that no copy but those of `nodes` may be used?"""
    if name not in mind.machines or mind.authority.standing(name, at) is not Standing.HELD:
        return False
    in_sync = mind.authority.register(name).in_sync
    return bool(in_sync) and set(in_sync) <= set(nodes) and mind.authority.agreed(name)
