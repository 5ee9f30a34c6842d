"""The reference cluster on a real mirror: whatever loses its power, no acknowledged record is missing."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from tests.lab.disk import some
from tests.lab.replicated import WITHIN_S, Replicated
from tests.logs import LOGS
from tests.machines.machine import wait_until
from tests.machines.records import Records
from tests.machines.reference import HIERARCHY, NODES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3_000)]  # minutes on a quiet machine

KILLS = int(os.environ.get("KAGE_KILLS", "5"))
OTHER = dict(zip(NODES, reversed(NODES), strict=True))


@pytest.fixture(scope="module")
def cluster(built: None, request: pytest.FixtureRequest) -> Iterator[Replicated]:
    """In service, both copies whole; each test leaves it so."""
    with Replicated() as cluster:
        request.node.stash[LOGS] = cluster.log_tails
        cluster.begin()
        yield cluster


def wait_more(records: Records, more: int = 20) -> None:
    """Until that many more were acknowledged."""
    before = len(records.acknowledged())
    wait_until(lambda: len(records.acknowledged()) >= before + more, WITHIN_S, f"{more} more records")


def any_owner(cluster: Replicated) -> str:
    return cluster.owner(next(node for node in NODES if cluster.machines[node].on))


def test_no_acknowledged_record_is_missing_however_often_the_owner_loses_its_power(
    cluster: Replicated,
) -> None:
    chance = random.Random(4)
    records = cluster.start_records()
    for kill in range(KILLS):
        owner = any_owner(cluster)
        heir = OTHER[owner]
        wait_more(records, chance.randrange(5, 40))
        cluster.power_cut(owner, some(seed=kill))
        cluster.wait_in_service(heir, WITHIN_S)
        wait_more(records)
        assert cluster.missing(records, heir) == []
        cluster.start(owner)
        cluster.wait_whole(heir)
    records.stop()
    assert cluster.missing(records, any_owner(cluster)) == []
    print(
        f"{KILLS} kills, {len(records.acknowledged())} records, longest wait {records.longest_wait_s():.1f} s"
    )


def test_parted_nodes_go_on_with_one_copy_and_are_the_same_again_when_they_meet(cluster: Replicated) -> None:
    owner = any_owner(cluster)
    other = OTHER[owner]
    records = cluster.start_records()
    cluster.network.part(*NODES)
    cluster.wait_until(
        lambda: cluster.hierarchy(owner).in_sync == [owner], WITHIN_S, f"{owner} goes on without {other}"
    )
    wait_more(records)
    assert not cluster.in_service(other)
    assert cluster.owner(other) == owner
    cluster.network.heal()
    cluster.wait_whole(owner)
    records.stop()
    assert cluster.missing(records, owner) == []
    leg, size = cluster.mirror(owner).leg(other), cluster.machines[owner].data.image.stat().st_size
    assert leg is not None
    assert leg.last_resync is not None
    assert leg.last_resync.kind == "union"
    assert leg.last_resync.bytes < size // 2
    print(f"{leg.last_resync.bytes} of {size} bytes copied, longest wait {records.longest_wait_s():.1f} s")

    cluster.api(owner).take_out_of_service(HIERARCHY)
    cluster.wait_until(lambda: cluster.hierarchy(owner).owner is None, WITHIN_S, "it is out of service")
    for node in NODES:
        cluster.power_off(node)
    assert cluster.differing_chunks() == []
