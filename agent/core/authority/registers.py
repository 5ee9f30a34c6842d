"""Registers: which of two is the truth.

A register changes in two ways only: its owner changes it (same term, next revision), or somebody
takes over (next term). So of one hierarchy's registers the one with the greater (term, revision)
is the newer. In mode `none` two nodes that couldn't hear each other can make two registers of one
term; then a hold by an operator counts most, and else the owner of higher priority keeps it, which
both sides decide alike.
"""

from __future__ import annotations

from dataclasses import replace

from agent.core.ids import NodeId
from agent.core.messages import Register
from agent.core.model import Hierarchy
from agent.core.states import Trust


def is_newer(one: Register, other: Register, hierarchy: Hierarchy) -> bool:
    """Does `one` replace `other`?"""
    return _weight(one, hierarchy) > _weight(other, hierarchy)


def _weight(register: Register, hierarchy: Hierarchy) -> tuple[int, int, bool, int, str]:
    last = len(hierarchy.nodes)
    rank = hierarchy.rank(register.owner) if register.owner in hierarchy.nodes else last
    return (register.term, register.revision, register.held, last - rank, register.owner or "")


def taken(
    register: Register,
    me: NodeId,
    term: int,
    *,
    suspect: bool = False,
    trust: Trust = Trust.IN_SYNC,
) -> Register:
    """The register after `me` takes the hierarchy over.

    `suspect`: an owner that it is taken from. `trust`: other than IN_SYNC, and the copy of `me` alone counts.
    """
    owner, suspects = register.owner, register.suspects
    if suspect and owner is not None and owner not in {me, *suspects}:
        suspects = (*suspects, owner)
    return replace(
        register,
        term=term,
        revision=register.revision + 1,
        owner=me,
        previous=None,
        suspects=suspects,
        in_sync=register.in_sync if trust is Trust.IN_SYNC else (me,),
        successor=None,
        held=False,
        unattended=False,
    )


def released(register: Register, *, successor: NodeId | None, held: bool) -> Register:
    """The register after its owner gives the hierarchy up, or an ownerless one is held."""
    orphan = register.owner is None
    return replace(
        register,
        term=register.term + 1 if orphan else register.term,
        revision=register.revision + 1,
        owner=None,
        previous=register.previous if orphan else register.owner,
        successor=successor,
        held=held,
        unattended=False,
    )


def cleared(register: Register, harmless: NodeId) -> Register:
    """The register without one of its suspects, which runs nothing."""
    return replace(register, suspects=tuple(each for each in register.suspects if each != harmless))


def held_back(register: Register) -> Register:
    """An ownerless register after an operator holds it out of service: the same term, for nobody voted."""
    return replace(register, revision=register.revision + 1, successor=None, held=True)


def after_reboot(register: Register, me: NodeId) -> Register:
    """What a rebooted machine knows: whatever it owned it doesn't run any more."""
    if register.owner != me:
        return register
    return released(register, successor=None, held=register.held)
