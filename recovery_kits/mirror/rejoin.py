"""Which chunks a returning leg needs before it is a copy again.

Both legs were equal once. Since then each may have been written without the other, and each noted in its
own bitmap what it wrote. What may differ is the union of both bitmaps, if no note was lost. md checks
only the running array's half of that: a leg that was written by itself it takes back unasked, and keeps
its strange blocks (seen: 321 chunks of a 400 MB mirror). So the rules stand here, and md's own come after.

When has a note been lost?
- md clears bits only while every leg of the array is in sync, and then notes the array's event counter
  (`events_cleared`). Events only grow along one history (but for one step back when an array falls idle).
- So if the running array cleared bits after the leg had left, its `events_cleared` is above the leg's
  `events`: a third disk had taken the leg's place, or the bitmap was made anew.
- If the leg's side cleared bits after that, the leg's `events_cleared` is above the running array's. It
  may be one above: the step between writing and idle. A third disk that is taken in costs at least three
  events: the old leg goes, the new one is added, the new one is in sync.
- A leg that ran without the other has counted on by itself, and its `events` prove nothing any more. Then
  neither `events_cleared` may be above the other. A leg says itself that it did: whoever writes alone
  first writes a superblock in which the other has no place.
- Where there are three legs, one that was copied to in an array without the running leg may hold blocks that
  its own bitmap doesn't name yet: md writes that seconds after the copy began, and it was to count only then.
  The leg's superblock says that it was a target there (write-mostly), and not the source.
- A superblock in which a third disk has the other leg's place tells it outright. After that disk has gone
  only the counters can. So before a disk is copied to in full the array gets a new bitmap (array.py): the
  copy clears bits on its way without a trace in `events_cleared`.
- What this doesn't see: a leg that was put back to an earlier state, such as a disk made from a snapshot;
  and, where each of two legs was run apart with a new disk of its own, which has gone again, a chance
  meeting of their counters.
"""

from __future__ import annotations

from dataclasses import dataclass

from recovery_kits.mirror.bitmap import Bitmap
from recovery_kits.mirror.chunks import Chunks
from recovery_kits.mirror.leg import Leg
from recovery_kits.mirror.superblock import Feature, NoLeg, Superblock

_UNDERSTOOD = Feature.BITMAP | Feature.RECOVERY_OFFSET | Feature.RECOVERY_BITMAP
_IDLE_STEP = 1  # events between writing and idle
_PAIR = 2  # legs, of which one alone writes when the other is away


@dataclass(frozen=True)
class FullCopy:
    """Nothing less than everything will do."""

    reason: str


def union(running: Leg, returning: Leg | NoLeg) -> Chunks | FullCopy:
    """What must be copied from the running array, one of whose legs is `running`, to the returning leg."""
    if isinstance(returning, NoLeg):
        return FullCopy(returning.why)
    if reason := _not_of_this_array(running.superblock, returning.superblock):
        return FullCopy(reason)
    if reason := _no_place(running.superblock, returning.superblock):
        return FullCopy(reason)
    if running.bitmap is None:
        return FullCopy(f"the running array: {running.why}")
    if returning.bitmap is None:
        return FullCopy(f"the returning leg: {returning.why}")
    if reason := _lost_notes(running, running.bitmap, returning.superblock, returning.bitmap):
        return FullCopy(reason)
    return running.bitmap.dirty | returning.bitmap.dirty


def _not_of_this_array(running: Superblock, returning: Superblock) -> str:
    if returning.array_uuid != running.array_uuid:
        return f"it is a leg of array {returning.array_uuid}, not {running.array_uuid}"
    if returning.created != running.created:  # the uuid follows from the configuration: it says less
        return "it is a leg of an array of that name which was made at another time"
    if returning.device_uuid == running.device_uuid:
        return "it is a clone of the running leg"
    if returning.size_bytes != running.size_bytes:
        return f"it mirrors {returning.size_bytes} bytes, not {running.size_bytes}"
    if returning.raid_disks != running.raid_disks:
        return f"it is of a mirror of {returning.raid_disks} legs, not {running.raid_disks}"
    return ""


def _no_place(running: Superblock, returning: Superblock) -> str:
    """Md takes a leg back only into the place that it had."""
    if returning.slot is None:
        return "it is marked as faulty" if returning.faulty else "it was never in sync"
    if returning.slot == running.slot:
        return f"both legs say that they are leg {running.slot}"
    if strange := returning.features & ~_UNDERSTOOD:
        return f"it has {strange.name or strange:} pending"
    if returning.is_recovering and Feature.RECOVERY_BITMAP not in returning.features:
        return "a full copy onto it was never finished"
    return ""


def _lost_notes(running: Leg, ours: Bitmap, leg: Superblock, theirs: Bitmap) -> str:
    if theirs.header.chunk_bytes != ours.header.chunk_bytes:
        return f"its bitmap has chunks of {theirs.header.chunk_bytes} bytes, not {ours.header.chunk_bytes}"
    holder = leg.holder_of(running.superblock.slot)
    if holder not in (None, running.superblock.number):
        return "a third disk was put in the running leg's place"
    if running.superblock.holder_of(leg.slot) not in (None, leg.number):
        return "a third disk was put in its place"
    cleared, their_cleared = ours.header.events_cleared, theirs.header.events_cleared
    if cleared > leg.events:
        return f"the array cleared its bitmap at event {cleared}, after the leg had left at {leg.events}"
    if their_cleared > cleared + _IDLE_STEP:
        return f"the leg's bitmap was cleared at event {their_cleared}, without the array ({cleared})"
    if holder is None and leg.write_mostly and leg.raid_disks > _PAIR:
        return "it was copied to without this leg, and may not have noted all of that"
    if holder is None and cleared > their_cleared + _IDLE_STEP:
        return f"both were written apart; the array's bitmap was cleared at {cleared}, its at {their_cleared}"
    return ""
