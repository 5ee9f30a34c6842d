"""A node cuts most steps short (`Node.step`): it must not matter.

Each step of a life in which everything goes wrong is taken a second time by a node that knows nothing
but the state, and so looks at everything.
"""

from __future__ import annotations

import pickle

import pytest

from agent.core.effects import Effect
from agent.core.events import Event
from agent.core.node import Node
from tests.simulation import faults, options, run


@pytest.mark.parametrize("seed", [0, 3, 11])
def test_a_step_cut_short_is_the_whole_step(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step, short = Node.step, 0

    def twice(node: Node, event: Event) -> list[Effect]:
        nonlocal short
        short += event.at < node._quiet_until
        whole = Node(pickle.loads(pickle.dumps(node.state)))
        effects = step(node, event)
        assert (step(whole, event), whole.state) == (effects, node.state), event
        return effects

    monkeypatch.setattr(Node, "step", twice)
    chosen = options.draw(seed, scale=100)
    world = run.live(chosen, faults.draw(chosen))
    assert short > world.counts["steps"] / 2
