"""Which node of the cluster this machine is."""

from __future__ import annotations

import socket
from collections.abc import Collection

from agent.core.ids import NodeId


def this_node(nodes: Collection[NodeId], wanted: str | None) -> NodeId | None:
    """The node called `wanted`, or else as this host is, with or without its domain; None if none is."""
    host = socket.gethostname()
    names = [wanted] if wanted is not None else [host, host.partition(".")[0]]
    return next((NodeId(name) for name in names if name in nodes), None)
