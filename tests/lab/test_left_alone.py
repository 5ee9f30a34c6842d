"""The reference cluster on a real mirror, when the node that has everything is gone: who may go on."""

from __future__ import annotations

import pytest

from agent.api.mirror_remarks import remarks
from tests.lab.disk import some
from tests.lab.replicated import OTHER, TAG, WITHIN_S, Replicated
from tests.machines.records import Records
from tests.machines.reference import HIERARCHY, NODES

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1_800)]


def leave_alone(cluster: Replicated, owner: str, records: Records) -> None:
    """The other one loses its power, and the owner goes on without it, for a while."""
    cluster.power_cut(OTHER[owner], some(seed=1))
    cluster.wait_until(lambda: cluster.hierarchy(owner).in_sync == [owner], WITHIN_S, "it goes on alone")
    records.wait_more(20, WITHIN_S)


def what_to_do(cluster: Replicated, node: str) -> str:
    """As `kage mirror status` says it there."""
    return "\n".join(remarks(cluster.mirror(node)))


def test_whoever_lacks_writes_starts_nothing_and_names_what_helps(cluster: Replicated) -> None:
    owner = cluster.any_owner()
    other = OTHER[owner]
    records = cluster.start_records()
    leave_alone(cluster, owner, records)
    cluster.power_cut(owner, some(seed=2))
    cluster.start(other)
    said = f"start {owner}; if the data there is lost for good: kage mirror force {TAG} {other}"
    cluster.wait_until(lambda: said in what_to_do(cluster, other), WITHIN_S, "it says what to do")
    asked = cluster.api(other).bring_in_service(HIERARCHY, other)
    assert not asked.accepted
    assert not cluster.hierarchy(other).nodes[other].eligible
    cluster.start(owner)
    cluster.wait_in_service(owner, WITHIN_S)
    assert cluster.timelines(other) == [], "it never even tried"
    records.wait_more(20, WITHIN_S)
    cluster.wait_whole(owner)
    records.stop()
    assert cluster.missing(records, owner) == []


def test_of_two_that_were_down_the_first_that_returns_goes_on_if_its_copy_is_whole(
    cluster: Replicated,
) -> None:
    owner = cluster.any_owner()
    other = OTHER[owner]
    records = cluster.start_records()
    for node in NODES:
        cluster.power_cut(node, some(seed=3))
    cluster.start(other)
    cluster.wait_in_service(other, WITHIN_S)
    records.wait_more(20, WITHIN_S)
    assert cluster.hierarchy(other).in_sync == [other]
    cluster.start(owner)
    cluster.wait_whole(other)
    records.stop()
    assert cluster.missing(records, other) == []


def test_force_loses_what_it_named_and_nothing_else_and_the_old_owner_loses_it_too(
    cluster: Replicated,
) -> None:
    """The last one: it ends with the guests off."""
    owner = cluster.any_owner()
    other = OTHER[owner]
    records = cluster.start_records()
    records.wait_more(20, WITHIN_S)
    leave_alone(cluster, owner, records)
    alone = records.acknowledged()[-20:]  # by the owner alone
    cluster.power_cut(owner, some(seed=4))
    records.stop()
    cluster.start(other)
    cluster.wait_until(lambda: cluster.mirror(other).in_sync == [owner], WITHIN_S, "its agent answers")
    for named in ([], [other]):
        refused = cluster.api(other).ask_mirror(TAG, "force", {"node": other, "lose_writes_of": named})
        assert not refused.accepted
    sacrifice = {"node": other, "lose_writes_of": [owner]}
    cluster.wait_until(
        lambda: cluster.api(other).ask_mirror(TAG, "force", sacrifice).accepted, WITHIN_S, "it may be forced"
    )
    cluster.wait_in_service(other, WITHIN_S)
    lost = cluster.missing(records, other)
    print(f"{len(lost)} of {len(records.acknowledged())} records are lost")
    assert set(alone) <= set(lost)
    assert lost == records.acknowledged()[-len(lost) :], "only the last ones, that its copy never got"

    later = cluster.start_records()
    later.wait_more(20, WITHIN_S)
    cluster.start(owner)
    cluster.wait_whole(other)
    later.stop()
    assert cluster.missing(later, other) == []
    cluster.end(other)
    assert cluster.differing_chunks() == []
    assert cluster.filesystem_errors() == ""
