"""Nodes die, are switched off and come back."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import RESOURCE, WITHIN_S, Cluster, now_ms
from tests.machines.lab import HIERARCHY, NODES

pytestmark = pytest.mark.cluster


def test_when_the_active_node_dies_the_other_takes_over_and_clients_write_again(cluster: Cluster) -> None:
    client = cluster.start_client()
    cluster.wait_served(client)
    assert cluster.routes_lead_to("db-01")

    cluster.power_off("db-01")
    cluster.wait_in_service("db-02")
    cluster.wait_served(client)
    client.stop()
    assert cluster.routes_lead_to("db-02"), "both tables moved"
    assert cluster.hierarchy("db-02").owner == "db-02"

    timeline = cluster.timelines("db-02")[0]
    assert (timeline.cause, timeline.complete, timeline.node) == ("failover", True, "db-02")
    names = [step.name for step in timeline.steps]
    restored = ["fs-dir1", "cyde_5_0", "cyss_cbgrn", "route-vip", "ip-vip"]
    assert names == ["silence of db-01", "ownership", *(f"restore {tag}" for tag in restored)]
    assert {step.outcome for step in timeline.steps} == {"ok"}
    assert timeline.steps[-1].start_ms + timeline.steps[-1].length_ms <= timeline.total_ms


def test_a_node_that_comes_back_leaves_the_service_where_it_is(cluster: Cluster) -> None:
    _lose_and_return(cluster)
    mark = now_ms()
    cluster.wait_eligible("db-01")
    cluster.wait_checked("db-02")
    assert cluster.in_service("db-02")
    assert not cluster.since(mark, "db-02", "move-begun", "failover-begun", "ownership-lost")


@pytest.mark.parametrize(
    "cluster",
    [{f"hierarchy.{HIERARCHY}.switchback": "automatic", f"hierarchy.{HIERARCHY}.switchback_after": "500ms"}],
    indirect=True,
)
def test_with_automatic_switchback_the_service_returns_to_the_better_node(cluster: Cluster) -> None:
    mark = now_ms()
    _lose_and_return(cluster)
    cluster.wait_in_service("db-01")
    cluster.wait_down("db-02")
    moved = cluster.since(mark, "db-02", "move-begun")
    assert len(moved) == 1
    assert "switchback is automatic" in moved[0].text
    assert cluster.routes_lead_to("db-01")
    assert not cluster.holds_address("db-02")


@pytest.mark.parametrize("dark", [{"cluster.startup_grace": "3s"}], indirect=True)
def test_a_node_alone_starts_the_service_when_it_waited_long_enough_for_the_other(dark: Cluster) -> None:
    mark = now_ms()
    dark.start("db-02")
    dark.wait_in_service("db-02")
    sought = dark.since(mark, "db-02", "ownership-sought")[0]
    assert sought.at_ms - mark >= 3_000, "startup_grace"
    assert dark.routes_lead_to("db-02")


def test_after_all_nodes_were_off_the_last_owner_starts_the_service(cluster: Cluster) -> None:
    cluster.kage("db-01", "in-service", HIERARCHY, "--node", "db-02")
    cluster.wait_until(
        lambda: {cluster.hierarchy(node).owner for node in NODES} == {"db-02"}, WITHIN_S, "both know it"
    )
    for node in NODES:
        cluster.power_off(node)
    mark = now_ms()
    cluster.start()  # db-01, of higher priority, first
    cluster.wait_in_service("db-02")
    assert [each.reason for each in cluster.since(mark, "db-02", "ownership-sought")] == ["last-owner"]
    assert not cluster.since(mark, "db-01", "ownership-sought")
    assert cluster.states("db-01") == {"OSU"}


@pytest.mark.parametrize("cluster", [{f"{RESOURCE}.cyde_5_0.limits": {"remove": "500ms"}}], indirect=True)
def test_a_node_that_cannot_remove_fences_itself_and_the_other_takes_over(cluster: Cluster) -> None:
    cluster.sabotage("db-01", "cyde_5_0", "remove", "sleep 1000")
    cluster.sabotage("db-01", "cyde_5_0", "force-remove", "sleep 1000")
    mark = now_ms()
    cluster.kage("db-01", "in-service", HIERARCHY, "--node", "db-02", "--no-wait")
    cluster.wait_until(lambda: not cluster.machines["db-01"].on, WITHIN_S, "db-01 cuts its own power")
    cluster.wait_in_service("db-02")

    assert cluster.calls("db-01", "force-remove") == ["cyde_5_0 force-remove"], "tried before fencing"
    log = (cluster.logs / "db-01.agent.log").read_text()
    assert "fencing this node by command: cyde_5_0 can't be removed: not done within 0.5 s" in log
    lost = cluster.wait_for(mark, "db-02", "peer-lost")
    restored = cluster.since(mark, "db-02", "action-finished")
    assert {each.action for each in restored} == {"restore"}
    assert all(each.at_ms >= lost.at_ms for each in restored)


def _lose_and_return(cluster: Cluster) -> None:
    cluster.power_off("db-01")
    cluster.wait_in_service("db-02")
    cluster.start("db-01")
    cluster.wait_connected()
