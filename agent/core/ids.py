"""The names and the clock that everything else is written in."""

from __future__ import annotations

from typing import NewType

NodeId = NewType("NodeId", str)  # "db-01", unique in the cluster
PathId = NewType("PathId", str)  # "eni-0": one comm path's name, the same on every node
HierarchyId = NewType("HierarchyId", str)  # "garoon", unique in the cluster
Tag = NewType("Tag", str)  # "ip-vip": a resource's name, unique in the cluster
ActionId = NewType("ActionId", int)  # counts up from 1 in each life of an agent
RequestId = NewType("RequestId", str)  # an operator's request, unique for a minute
Instant = NewType("Instant", int)  # milliseconds of CLOCK_BOOTTIME: goes on while the machine sleeps

NEVER = Instant(0)  # before anything happened
FOREVER = Instant(2**62)


def later(at: Instant, by_ms: int) -> Instant:
    """The instant `by_ms` milliseconds after `at`."""
    return Instant(at + by_ms)
