"""The reference cluster on a real mirror, when the owner's disk is neither well nor dead."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.disk import Trouble
from tests.lab.replicated import WITHIN_S, Replicated
from tests.logs import LOGS
from tests.machines.reference import NODES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1_500)]  # four minutes on a quiet machine


@pytest.fixture
def cluster(built: None, request: pytest.FixtureRequest) -> Iterator[Replicated]:
    """In service on the first node, both copies whole."""
    with Replicated() as cluster:
        request.node.stash[LOGS] = cluster.log_tails
        cluster.begin()
        yield cluster


def test_a_node_whose_disk_hangs_makes_itself_harmless_and_the_other_one_takes_over(
    cluster: Replicated,
) -> None:
    owner, heir = NODES
    machine = cluster.machines[owner]
    records = cluster.start_records()
    machine.data.trouble(Trouble.HANG)
    cluster.wait_in_service(heir, WITHIN_S)
    records.wait_more(20, WITHIN_S)
    print(f"longest wait {records.longest_wait_s():.1f} s")
    machine.data.trouble(Trouble.NONE)  # QEMU waits for its disk before it ends
    # What hangs can't be killed: its node got rid of the service by a reset of its own, and by no other way.
    cluster.wait_until(lambda: not machine.on, WITHIN_S, f"{owner} is off")
    assert "sysrq: Resetting" in machine.console.read_text()
    cluster.start(owner)
    cluster.wait_whole(heir)
    records.stop()
    assert cluster.missing(records, heir) == []
