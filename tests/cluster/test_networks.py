"""Networks between the nodes fail and come back."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import WITHIN_S, Cluster, now_ms
from tests.machines.lab import HIERARCHY, WITHOUT_QUORUM
from tests.machines.network import Fault

pytestmark = pytest.mark.cluster

MOVES = ("peer-lost", "ownership-sought", "failover-begun", "move-begun")
FIRST_DOWN = {"eni-0": "down", "eni-1": "up"}


def test_a_cut_comm_path_is_a_warning_and_no_failover_until_it_is_healed(cluster: Cluster) -> None:
    mark = now_ms()
    cluster.network.cut("db-02", "eth1")
    for node in cluster.nodes:
        cluster.wait_for(mark, node, "path-down")
        assert cluster.peer(node).comm == "warning"
        assert cluster.path_states(node) == {"eni-0": "up", "eni-1": "down"}
    cluster.wait_heartbeats("db-02", 20)
    assert "warning" in cluster.kage_text("db-01", "nodes")
    assert not [event for node in cluster.nodes for event in cluster.since(mark, node, *MOVES)]

    cluster.network.heal()
    cluster.wait_connected()
    assert cluster.in_service("db-01")


@pytest.mark.parametrize("direction", ["from", "to"])
def test_a_path_that_works_one_way_only_is_down_for_both_nodes(cluster: Cluster, direction: str) -> None:
    mark = now_ms()
    cluster.network.set_faults(Fault("db-02", "eth0", "from" if direction == "from" else "to"))
    for node in cluster.nodes:
        cluster.wait_for(mark, node, "path-down")
        assert cluster.path_states(node) == FIRST_DOWN
    cluster.wait_heartbeats("db-01", 20)
    assert [cluster.path_states(node) for node in cluster.nodes] == [FIRST_DOWN, FIRST_DOWN]
    assert not [event for node in cluster.nodes for event in cluster.since(mark, node, *MOVES)]

    cluster.network.heal()
    cluster.wait_connected()


def test_heavy_loss_on_both_paths_moves_nothing(cluster: Cluster) -> None:
    mark = now_ms()
    cluster.network.set_faults(
        *(Fault("db-02", device, "both", loss_percent=30) for device in ("eth0", "eth1"))
    )
    for node in cluster.nodes:
        cluster.wait_heartbeats(node, 40)
        losses = [path.loss_percent or 0 for path in cluster.peer(node).paths]
        assert max(losses) > 10, "people can see the loss"
    assert not [event for node in cluster.nodes for event in cluster.since(mark, node, *MOVES)]

    cluster.network.heal()
    cluster.wait_connected()
    assert cluster.in_service("db-01")


@pytest.mark.parametrize("cluster", [WITHOUT_QUORUM], indirect=True)
def test_without_quorum_parted_nodes_both_run_it_and_when_they_meet_again_the_newer_owner_alone_keeps_it(
    cluster: Cluster,
) -> None:
    mark = now_ms()
    cluster.network.cut("db-01")
    cluster.wait_in_service("db-02")
    assert cluster.in_service("db-01"), "quorum = none: nobody told db-01 to stop"

    cluster.network.heal()
    cluster.wait_for(mark, "db-01", "ownership-lost")
    cluster.wait_down("db-01")
    cluster.wait_connected()
    assert cluster.in_service("db-02")
    assert [cluster.hierarchy(node).owner for node in cluster.nodes] == ["db-02", "db-02"]
    assert not cluster.holds_address("db-01")
    assert cluster.routes_lead_to("db-02")
    assert not cluster.since(mark, "db-02", "ownership-lost", "out-of-service")


@pytest.mark.parametrize("cluster", [WITHOUT_QUORUM], indirect=True)
@pytest.mark.parametrize("direction", ["from", "to"])
def test_nodes_that_hear_each_other_one_way_only_are_lost_to_each_other(
    cluster: Cluster, direction: str
) -> None:
    mark = now_ms()
    cluster.network.set_faults(
        *(Fault("db-02", each, "from" if direction == "from" else "to") for each in ("eth0", "eth1"))
    )
    for node, other in (("db-01", "db-02"), ("db-02", "db-01")):
        cluster.wait_for(mark, node, "peer-lost", peer=other)
    cluster.wait_until(lambda: cluster.hierarchy("db-02").owner == "db-02", WITHIN_S, "db-02 takes it over")

    cluster.network.heal()
    cluster.wait_connected()
    cluster.wait_in_service("db-02")
    cluster.wait_down("db-01")
    assert {cluster.hierarchy(node, HIERARCHY).owner for node in cluster.nodes} == {"db-02"}
