"""This node's disk: whether it holds a leg of our mirror, may be made one, or is somebody else's.

Invariant: a disk with anything on it that isn't ours is neither served nor written to; only a word of an
operator (`wipe`, or `create` with overwrite) makes it blank.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from recovery_kits.contract import CommandFailed, Run
from recovery_kits.mirror.leg import Leg, Read, read_leg
from recovery_kits.mirror.superblock import Instead


class Holds(Enum):
    """What is on a disk."""

    LEG = "leg"  # of our mirror
    BLANK = "blank"
    FOREIGN = "foreign"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Disk:
    """A disk as it was found."""

    holds: Holds
    why: str = ""  # it is neither a leg nor blank
    leg: Leg | None = None


async def look(device: str, array_uuid: UUID, read: Read, run: Run) -> Disk:
    """Read what is on the disk; changes nothing."""
    try:
        found = await read_leg(read)
        if isinstance(found, Leg):
            if found.superblock.array_uuid == array_uuid:
                return Disk(Holds.LEG, leg=found)
            return Disk(Holds.FOREIGN, f"{device} is a leg of another array, {found.superblock.array_uuid}")
        if found.what is not Instead.BLANK:
            return Disk(Holds.FOREIGN, f"{device}: {found.why}")
        kinds = await signatures(device, run)
    except OSError as error:  # no such device, no such program, an error of the disk, or no answer from it
        return Disk(Holds.UNREADABLE, f"{device} can't be read: {error}")
    except CommandFailed as error:
        return Disk(Holds.UNREADABLE, str(error))
    return Disk(Holds.FOREIGN, f"{device} holds {', '.join(kinds)}") if kinds else Disk(Holds.BLANK)


async def signatures(device: str, run: Run) -> list[str]:
    """The kinds of filesystem, partition table and so on that wipefs(8) knows; raises what `run` does."""
    printed = await run("wipefs", "--no-act", "--json", "--", device)
    found = json.loads(printed)["signatures"] if printed.strip() else []
    return sorted({str(each["type"]) for each in found})
