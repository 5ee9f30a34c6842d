"""The reference cluster on a real mirror: whatever loses its power, no acknowledged record is missing."""

from __future__ import annotations

import os
import random

import pytest

from tests.lab.disk import some
from tests.lab.replicated import ORDER, OTHER, WITHIN_S, Replicated
from tests.machines.client import now_s
from tests.machines.reference import NODES

KILLS = int(os.environ.get("KAGE_KILLS", "5"))
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1_500 + 300 * KILLS)]  # a third on a quiet machine


def test_the_reference_hierarchy_starts_and_moves_in_its_order_and_keeps_every_record(
    cluster: Replicated,
) -> None:
    source, target = NODES
    already = [tag for tag in ORDER if tag != "route-vip"]  # the routes lead there from the beginning
    assert cluster.restored(source) in ([*ORDER], already)
    records = cluster.start_records()
    cluster.switch_over(target)
    assert cluster.removed(source) == [*reversed(ORDER)]
    assert cluster.restored(target) == [*ORDER]
    records.wait_more(20, WITHIN_S)
    records.stop()
    assert cluster.missing(records, target) == []
    cluster.wait_whole(target)
    print(f"longest wait {records.longest_wait_s():.1f} s")


def test_no_acknowledged_record_is_missing_however_often_the_owner_loses_its_power(
    cluster: Replicated,
) -> None:
    chance = random.Random(4)
    records = cluster.start_records()
    for kill in range(KILLS):
        owner = cluster.any_owner()
        heir = OTHER[owner]
        records.wait_more(chance.randrange(5, 40), WITHIN_S)
        since = now_s()
        cluster.power_cut(owner, some(seed=kill))
        cluster.wait_in_service(heir, WITHIN_S)
        assert cluster.restored(heir) == [*ORDER]
        records.wait_more(20, WITHIN_S)
        print(f"kill {kill + 1}: outage {records.longest_wait_s(since):.1f} s; {cluster.phases(heir)}")
        assert cluster.missing(records, heir) == []
        cluster.start(owner)
        cluster.wait_whole(heir)
    records.stop()
    assert cluster.missing(records, cluster.any_owner()) == []
    print(
        f"{KILLS} kills, {len(records.acknowledged())} records, longest wait {records.longest_wait_s():.1f} s"
    )
    assert 3 * cluster.resets <= KILLS, "on a host that starves them: see what it waited for"


def test_parted_nodes_go_on_with_one_copy_and_are_the_same_again_when_they_meet(cluster: Replicated) -> None:
    owner = cluster.any_owner()
    other = OTHER[owner]
    records = cluster.start_records()
    cluster.network.part(*NODES)
    cluster.wait_until(
        lambda: cluster.hierarchy(owner).in_sync == [owner], WITHIN_S, f"{owner} goes on without {other}"
    )
    records.wait_more(20, WITHIN_S)
    assert not cluster.in_service(other)
    assert cluster.owner(other) == owner
    cluster.network.heal()
    cluster.wait_whole(owner)
    records.stop()
    assert cluster.missing(records, owner) == []
    resync, size = cluster.last_resync(owner, other), cluster.disk_bytes(other)
    assert resync.kind == "union"
    assert resync.bytes < size // 2
    print(f"{resync.bytes} of {size} bytes copied, longest wait {records.longest_wait_s():.1f} s")

    cluster.end(cluster.any_owner())
    assert cluster.differing_chunks() == []
    assert cluster.filesystem_errors() == ""
