"""What a running node sees, in the few figures that are kept outside the cluster."""

from __future__ import annotations

from agent.core.node import Node
from agent.core.states import PeerStanding, Phase
from agent.notify.cloudwatch import Figures


def figures(node: Node | None) -> Figures:
    """As of now; None: a node that hasn't begun yet."""
    if node is None:
        return Figures(nodes_alive=1, in_service={})
    alive = sum(peer.standing is PeerStanding.ALIVE for peer in node.state.peers.values())
    running = {name: machine.phase is Phase.RUNNING for name, machine in node.mind.machines.items()}
    return Figures(nodes_alive=1 + alive, in_service={str(name): yes for name, yes in running.items()})
