"""Machines that are shut down in good order, in the midst of everything else that befalls a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.states import OnShutdown
from tests.simulation import faults as drawn
from tests.simulation import options as options_of
from tests.simulation.run import live

SCALE = 100  # the smallest share of steps in which nothing happens


@pytest.mark.parametrize("seed", range(12))
def test_a_shutdown_breaks_no_promise(seed: int) -> None:
    options = options_of.draw(seed, scale=SCALE)
    if seed % 2:
        specs = [replace(each, on_shutdown=OnShutdown.STOP) for each in options.cluster.hierarchies]
        options = replace(options, cluster=replace(options.cluster, hierarchies=tuple(specs)))
    faults = [
        replace(each, kind="shut_down") if each.kind in ("kill", "stop", "crash", "pause", "sleep") else each
        for each in drawn.draw(options)
    ]
    world = live(options, faults)
    assert world.counts["fault shut_down"] or not any(each.kind == "shut_down" for each in faults)
