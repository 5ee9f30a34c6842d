"""Whose leg is copied to, where there are several.

Keeps: one leg at a time, for md begins again from the start, with both, when a second one comes in; a leg
that needs everything gives way to one that needs little, whose copy soon counts again.
"""

from __future__ import annotations


class Queued(Exception):
    """Another node's leg is copied to first."""


class Turns:
    """The turns of one mirror's legs, by node."""

    def __init__(self) -> None:
        self._node: str | None = None  # whose turn it is
        self._full = False
        self._urgent: set[str] = set()  # those that a full copy shall give way to

    @property
    def free(self) -> bool:
        """Nobody's leg is copied to."""
        return self._node is None

    def take(self, node: str, *, full: bool) -> None:
        """From now on it is this node's turn, to get everything or only what differs; raises Queued."""
        first = self._node or (min(self._urgent - {node}, default=None) if full else None)
        if first not in {None, node}:
            if not full:
                self._urgent.add(node)
            raise Queued(f"it waits until {first} has a whole copy")
        self._urgent.discard(node)
        self._node, self._full = node, full

    def found(self, node: str, *, full: bool) -> None:
        """Its leg is copied to, as an agent before this one began it."""
        if self._node is None:
            self._node, self._full = node, full

    def gives_way(self, node: str) -> bool:
        """Whether its copy shall be broken off for another node's."""
        return self._node == node and self._full and bool(self._urgent)

    def leave(self, node: str) -> None:
        """It isn't copied to any more, nor does it wait for that."""
        self._urgent.discard(node)
        if self._node == node:
            self._node = None
