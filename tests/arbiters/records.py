"""Records to write."""

from __future__ import annotations

import itertools

from agent.arbiters.contract import Record
from agent.core.ids import HierarchyId, NodeId
from agent.core.messages import Register

HIERARCHY, NODE_A, NODE_B = HierarchyId("app"), NodeId("db-01"), NodeId("db-02")
_numbers = itertools.count(1)


def record(voted_for: NodeId | None = NODE_A, term: int = 1, hierarchy: HierarchyId = HIERARCHY) -> Record:
    """A vote, under a nonce that was never used."""
    register = Register(
        hierarchy=hierarchy, term=term, revision=term + 3, owner=NODE_A, in_sync=(NODE_A, NODE_B)
    )
    return Record(register=register, voted_for=voted_for, term=term, nonce=f"nonce-{next(_numbers)}")
