"""Applications fail, hang and can't be repaired."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.cluster import RESOURCE, WITHIN_S, Cluster, now_ms
from tests.machines.lab import HIERARCHY

pytestmark = pytest.mark.cluster

MOVES = ("failover-begun", "move-begun", "ownership-released", "ownership-lost")
IMPATIENT = {f"{RESOURCE}.cyde_5_0.limits": {"quick_check": "300ms"}}


@pytest.mark.parametrize("tag", ["cyde_5_0", "cyss_cbgrn"])
def test_a_crashed_application_is_repaired_where_it_is(cluster: Cluster, tag: str) -> None:
    mark = now_ms()
    cluster.kill_application("db-01", tag)
    cluster.wait_for(mark, "db-01", "resource-recovered", tag=tag)
    assert f"{tag} recover" in cluster.calls("db-01")
    cluster.wait_in_service("db-01")
    cluster.wait_checked("db-01")
    assert cluster.in_service("db-01")
    assert not cluster.since(mark, "db-01", *MOVES)


def test_an_application_that_cannot_be_repaired_moves_with_its_hierarchy(cluster: Cluster) -> None:
    cluster.sabotage("db-01", "cyde_5_0", "recover", "exit 1")
    mark = now_ms()
    cluster.kill_application("db-01", "cyde_5_0")
    cluster.wait_in_service("db-02")
    cluster.wait_down("db-01")
    begun = cluster.since(mark, "db-01", "failover-begun")
    assert len(begun) == 1
    assert "recover" in begun[0].text
    assert cluster.routes_lead_to("db-02")
    assert not cluster.holds_address("db-01")
    assert not cluster.hierarchy("db-02").nodes["db-01"].eligible, "what failed there is remembered"


def test_a_failed_takeover_is_undone_and_not_tried_again_until_an_operator_clears_it(
    cluster: Cluster,
) -> None:
    cluster.sabotage("db-02", "cyde_5_0", "restore", "exit 1")
    mark = now_ms()
    cluster.kage("db-01", "in-service", HIERARCHY, "--node", "db-02", "--no-wait")
    cluster.wait_for(mark, "db-02", "failover-begun")
    cluster.wait_in_service("db-01")
    cluster.wait_down("db-02", seen_by="db-01")
    cluster.wait_checked("db-01")
    assert cluster.in_service("db-01")
    assert cluster.calls("db-02", "restore") == ["cyde_5_0 restore"], "no ping-pong"
    assert "/mnt/DIR1" not in cluster.machines["db-02"].run("cat", "/proc/self/mounts").split()
    refused = cluster.api("db-01").bring_in_service(HIERARCHY, "db-02")
    assert not refused.accepted
    assert "cyde_5_0 failed there" in refused.text

    cluster.mend()
    cluster.kage("db-01", "recover", "cyde_5_0")
    cluster.wait_eligible("db-02")
    cluster.kage("db-01", "in-service", HIERARCHY, "--node", "db-02")
    assert cluster.in_service("db-02")


def test_a_takeover_that_fails_with_no_other_node_stays_and_is_finished_when_mended(
    cluster: Cluster,
) -> None:
    cluster.sabotage("db-02", "cyde_5_0", "restore", "exit 1")
    mark = now_ms()
    cluster.power_off("db-01")
    told = cluster.wait_for(mark, "db-02", "nowhere-to-go")
    assert told.severity == "alarm"
    assert cluster.hierarchy("db-02").owner == "db-02"
    assert not cluster.routes_lead_to("db-02"), "the address doesn't move to what doesn't serve"

    cluster.mend()
    cluster.kage("db-02", "recover", "cyde_5_0")
    cluster.wait_in_service("db-02")
    assert cluster.routes_lead_to("db-02")


@pytest.mark.parametrize("cluster", [IMPATIENT], indirect=True)
def test_a_check_that_hangs_once_is_no_failure_and_twice_is_one(cluster: Cluster) -> None:
    mark = now_ms()
    hang_once = 'mv "$fault" "$fault.done"; sleep 1000'
    cluster.sabotage("db-01", "cyde_5_0", "quick-check", hang_once)
    hung = cluster.disk("db-01") / "faults/cyde_5_0.quick-check.done"
    cluster.wait_until(hung.exists, WITHIN_S, "it hung")
    cluster.wait_checked("db-01")
    assert not cluster.since(mark, "db-01", "resource-failed")

    cluster.sabotage("db-01", "cyde_5_0", "quick-check", "sleep 1000")
    failed = cluster.wait_for(mark, "db-01", "resource-failed", tag="cyde_5_0")
    assert failed.text == "quick-check out of time 2 times (limit 300 ms)"
    cluster.mend()
    cluster.wait_for(mark, "db-01", "resource-recovered", tag="cyde_5_0")
    assert not cluster.since(mark, "db-01", *MOVES)


@pytest.mark.parametrize("cluster", [IMPATIENT], indirect=True)
def test_a_script_that_hangs_is_killed_with_all_its_children(cluster: Cluster) -> None:
    mark = now_ms()
    children = "sleep 5432 & setsid sleep 5432 & trap '' TERM; sleep 5432"
    cluster.sabotage("db-01", "cyde_5_0", "quick-check", children)
    cluster.wait_until(lambda: len(_sleepers(cluster)) == 3, WITHIN_S, "three children run")
    cluster.wait_for(mark, "db-01", "resource-failed", tag="cyde_5_0")
    cluster.mend()
    cluster.wait_for(mark, "db-01", "resource-recovered", tag="cyde_5_0")
    assert _sleepers(cluster) == []


def _sleepers(cluster: Cluster) -> list[int]:
    return [pid for pid in cluster.machines["db-01"].processes() if b"\x005432\x00" in _command_line(pid)]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
