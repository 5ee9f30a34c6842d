"""What a cluster asks of AWS while nothing happens: one look at each resource in its interval, by its owner.

A kit's look is one call (tests/aws_faults/test_steady_state.py), its interval half a minute: so each
resource in AWS costs the whole cluster two calls a minute, however many nodes there are.
"""

from __future__ import annotations

import pytest

from tests.simulation.witness import in_service

HOUR_MS = 3_600_000


@pytest.mark.parametrize("seed", [2, 5])  # two nodes; three
def test_in_an_hour_only_the_owner_looks_and_no_oftener_than_agreed(seed: int) -> None:
    world = in_service(seed)
    world.checks.clear()
    world.arbiter.versions = 0
    world.run(HOUR_MS)
    owned = {
        (world.serving(hierarchy.name)[0], resource.tag): HOUR_MS / resource.check_interval_ms
        for hierarchy in world.cluster.hierarchies
        for resource in hierarchy.resources
    }
    looks = +world.checks
    assert looks.keys() == owned.keys()
    for what, most in owned.items():
        assert 0.8 * most < looks[what] <= 1.01 * most + 1, what  # a clock may run fast by less than 1 %
    assert world.arbiter.versions == 0, "while peers vote, the arbiter isn't written"
