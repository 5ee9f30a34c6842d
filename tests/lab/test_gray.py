"""The reference cluster on a real mirror, when a disk is neither well nor dead."""

from __future__ import annotations

import pytest

from tests.lab.disk import Trouble
from tests.lab.replicated import ORDER, OTHER, TAG, WITHIN_S, Replicated

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1_500)]  # four minutes on a quiet machine


def test_a_node_whose_disk_hangs_makes_itself_harmless_and_the_other_one_takes_over(
    cluster: Replicated,
) -> None:
    owner = cluster.any_owner()
    heir, machine = OTHER[owner], cluster.machines[owner]
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


def test_a_disk_that_fails_moves_the_service_in_good_order_and_is_filled_when_it_is_well_again(
    cluster: Replicated,
) -> None:
    owner = cluster.any_owner()
    heir, machine = OTHER[owner], cluster.machines[owner]
    records = cluster.start_records()
    machine.data.trouble(Trouble.FAIL)
    cluster.wait_in_service(heir, WITHIN_S)
    assert cluster.removed(owner) == [*reversed(ORDER)]
    assert cluster.hierarchy(heir).in_sync == [heir]
    records.wait_more(20, WITHIN_S)
    print(f"longest wait {records.longest_wait_s():.1f} s")
    assert machine.on, "its service could be removed: there was no need for a reset"
    machine.data.trouble(Trouble.NONE)
    cluster.wait_whole(heir)
    records.stop()
    assert cluster.missing(records, heir) == []


def test_a_slow_disk_is_told_of_and_moves_nothing(cluster: Replicated) -> None:
    owner = cluster.any_owner()
    other = OTHER[owner]
    records = cluster.start_records()
    before = max(each.id for each in cluster.events(owner))
    cluster.machines[other].data.trouble(Trouble.SLOW)
    cluster.wait_until(
        lambda: f"kage mirror pause {TAG} {other}" in told(cluster, owner, "resource-unknown", before),
        WITHIN_S,
        "it is told",
    )
    assert sorted(cluster.hierarchy(owner).in_sync) == sorted([owner, other])
    records.wait_more(3, WITHIN_S)
    cluster.machines[other].data.trouble(Trouble.NONE)
    cluster.wait_until(lambda: told(cluster, owner, "resource-recovered", before), WITHIN_S, "it is over")
    assert cluster.any_owner() == owner
    records.stop()
    assert cluster.missing(records, owner) == []


def told(cluster: Replicated, node: str, kind: str, after: int) -> str:
    """The node's events of this kind about the mirror, after that one."""
    return "\n".join(each.text for each in cluster.events(node, kind) if each.tag == TAG and each.id > after)
