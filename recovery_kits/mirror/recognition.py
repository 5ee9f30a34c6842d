"""Whether the leg behind a connection is the one that belongs there, before the kernel gets it.

Keeps: what isn't blank and isn't a leg of our own array is never written to.
"""

from __future__ import annotations

from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import Leg
from recovery_kits.mirror.rejoin import FullCopy, union
from recovery_kits.mirror.superblock import Instead, NoLeg

_STEPS = 2  # events that a leg whose answers are outstanding may be behind, or ahead when md falls idle


class Refused(Exception):
    """The node's disk isn't ours to write to; an operator must look at it."""


def what_to_copy(running: Leg, found: Leg | NoLeg, description: str) -> Chunks | FullCopy:
    """What must be copied to make it a copy of the running array, as far as bitmaps tell; raises Refused.

    `description` is what its server says: whether this leg was a source's, which hadn't sent everything.
    """
    if isinstance(found, NoLeg):
        if found.what is not Instead.BLANK:
            raise Refused(f"its disk isn't blank: {found.why}; `kage mirror wipe` makes it so")
        return union(running, found)
    if found.superblock.array_uuid != running.superblock.array_uuid:
        raise Refused(f"its disk belongs to another array, {found.superblock.array_uuid}")
    undrained = description.partition(" ")[2].strip()
    if undrained == str(found.superblock.device_uuid):
        return FullCopy("it was the source and ended before everything was sent; what wasn't is lost")
    return union(running, found)


def same_leg(running: Leg, found: Leg | NoLeg, slot: int | None) -> str:
    """Why a new connection doesn't lead to the leg in place `slot`, as it was when the old one died; or "".

    A leg that was used without us, or put back to an earlier state, lacks what was answered before.
    """
    if isinstance(found, NoLeg):
        return f"its leg has gone: {found.why}"
    ours, theirs = running.superblock, found.superblock
    if theirs.array_uuid != ours.array_uuid or theirs.slot is None or theirs.slot != slot:
        return "another leg is there now"
    if theirs.holder_of(ours.slot) is None:
        return "its leg was used without this one meanwhile"
    if abs(theirs.events - ours.events) > _STEPS:
        return f"its leg is in another state: of event {theirs.events}, ours of {ours.events}"
    return ""
