"""The reference cluster on a real mirror, when a disk is neither well nor dead, or full."""

from __future__ import annotations

import pytest

from tests.lab.disk import Trouble, some
from tests.lab.guest import Guest
from tests.lab.replicated import ORDER, OTHER, TAG, WITHIN_S, Replicated
from tests.machines.reference import HIERARCHY, RESOURCE
from tests.machines.settings import Settings

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1_500)]  # eight minutes on a quiet machine

FILESYSTEM, STATE, FILLER = "/mnt/DIR1", "/mnt/disk/state", "filler"
DEAD_AFTER_MS = 10_000  # of the conservative preset
SLOW_S = 0.1  # what the application can live with


@pytest.fixture(scope="module")
def settings() -> Settings:
    """A disk counts as slow before the application gives up."""
    return {f"{RESOURCE}.{TAG}.slow_after": "80ms"}


def slow_down(cluster: Replicated, node: str) -> None:
    """Its disk, from now on."""
    cluster.machines[node].data.slow_s = SLOW_S
    cluster.machines[node].data.trouble(Trouble.SLOW)


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


@pytest.mark.parametrize("trouble", [Trouble.FAIL, Trouble.FULL], ids=str)
def test_a_disk_that_fails_or_takes_no_write_moves_the_service_in_good_order_and_gets_what_it_missed(
    cluster: Replicated, trouble: Trouble
) -> None:
    owner = cluster.any_owner()
    heir, machine = OTHER[owner], cluster.machines[owner]
    records = cluster.start_records()
    machine.data.trouble(trouble)
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
    assert cluster.api(owner).recover(TAG).accepted  # it has failed there: else nothing would be moved back


def test_a_slow_disk_is_told_of_and_moves_nothing(cluster: Replicated) -> None:
    owner = cluster.any_owner()
    other = OTHER[owner]
    records = cluster.start_records()
    before = newest(cluster, owner)
    slow_down(cluster, other)
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


def test_a_slow_copy_can_be_done_without_until_it_is_asked_for_again(cluster: Replicated) -> None:
    owner = cluster.any_owner()
    other = OTHER[owner]
    reconfigure(cluster, "drop")
    records = cluster.start_records()
    slow_down(cluster, other)
    cluster.wait_until(lambda: cluster.hierarchy(owner).in_sync == [owner], WITHIN_S, "it goes on without it")
    records.wait_more(20, WITHIN_S)
    assert cluster.any_owner() == owner
    cluster.machines[other].data.trouble(Trouble.NONE)
    assert cluster.api(owner).ask_mirror(TAG, "resync", {"node": other}).accepted
    cluster.wait_whole(owner)
    assert cluster.last_resync(owner, other).kind == "union"
    records.stop()
    assert cluster.missing(records, owner) == []
    print(f"longest wait {records.longest_wait_s():.1f} s")
    reconfigure(cluster, "tell")


def reconfigure(cluster: Replicated, slow_target: str) -> None:
    """On both nodes, while the service is out."""
    owner = cluster.any_owner()
    assert cluster.api(owner).take_out_of_service(HIERARCHY).accepted
    cluster.wait_until(lambda: cluster.hierarchy(owner).owner is None, WITHIN_S, "it is out of service")
    cluster.configure({f"{RESOURCE}.{TAG}.slow_target": slow_target})
    for node in OTHER:
        answer = cluster.api(node).reload_config()
        assert answer.accepted, answer
    assert cluster.api(owner).bring_in_service(HIERARCHY, owner).accepted
    cluster.wait_in_service(owner, WITHIN_S)
    cluster.wait_whole(owner)


def test_a_full_filesystem_is_told_of_and_moves_nothing(cluster: Replicated) -> None:
    owner = cluster.any_owner()
    machine, before = cluster.machines[owner], newest(cluster, owner)
    fill(machine, FILESYSTEM)
    cluster.wait_until(
        lambda: "is full" in told(cluster, owner, "resource-unknown", before, "fs-dir1"),
        WITHIN_S,
        "it is told",
    )
    machine.run("rm", f"{FILESYSTEM}/{FILLER}")
    cluster.wait_until(
        lambda: told(cluster, owner, "resource-recovered", before, "fs-dir1"), WITHIN_S, "it is over"
    )
    assert cluster.any_owner() == owner
    records = cluster.start_records()
    records.stop()
    assert cluster.missing(records, owner) == []


def test_as_long_as_it_cant_be_written_down_no_copy_is_done_without_and_writes_wait(
    cluster: Replicated,
) -> None:
    """The owner's records of its own are on a full disk, and the other node is lost."""
    owner = cluster.any_owner()
    other, machine, before = OTHER[owner], cluster.machines[owner], newest(cluster, owner)
    records = cluster.start_records()
    fill(machine, STATE)
    cluster.power_cut(other, some(seed=1))
    cluster.wait_until(lambda: told(cluster, owner, "store-failed", before, None), WITHIN_S, "it is told")
    waiting = len(records.acknowledged())
    cluster.wait_until(
        lambda: stalled_ms(cluster, owner, other) > 2 * DEAD_AFTER_MS, WITHIN_S, "writes wait for long"
    )
    assert len(records.acknowledged()) - waiting <= 1  # one may have been on its way
    machine.run("rm", f"{STATE}/{FILLER}")
    records.wait_more(20, WITHIN_S)
    assert cluster.hierarchy(owner).in_sync == [owner]
    assert told(cluster, owner, "store-mended", before, None)
    cluster.start(other)
    cluster.wait_whole(owner)
    records.stop()
    assert cluster.missing(records, owner) == []


def fill(machine: Guest, folder: str) -> None:
    """To the last block."""
    machine.run(
        "dd", "if=/dev/zero", f"of={folder}/{FILLER}", "bs=64k", "conv=fsync", check=False, within_s=WITHIN_S
    )


def stalled_ms(cluster: Replicated, source: str, node: str) -> int:
    """For how long a node's copy hasn't answered."""
    leg = cluster.mirror(source).leg(node)
    return leg.stalled_ms if leg is not None else 0


def newest(cluster: Replicated, node: str) -> int:
    """The number of the node's newest event."""
    return max(each.id for each in cluster.events(node))


def told(cluster: Replicated, node: str, kind: str, after: int, tag: str | None = TAG) -> str:
    """The node's events of this kind about that resource, after that one."""
    return "\n".join(each.text for each in cluster.events(node, kind) if each.tag == tag and each.id > after)
