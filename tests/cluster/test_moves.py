"""An operator moves the service."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import TAGS, Cluster, now_ms
from tests.machines.lab import HIERARCHY

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("asked", ["db-01", "db-02"])
def test_an_operator_moves_the_service_there_and_back_from_either_node(cluster: Cluster, asked: str) -> None:
    client = cluster.start_client()
    cluster.wait_served(client)
    for source, target in (("db-01", "db-02"), ("db-02", "db-01")):
        mark = now_ms()
        answer = cluster.kage(asked, "in-service", HIERARCHY, "--node", target)
        assert answer["reached"], answer
        assert cluster.in_service(target)
        assert cluster.routes_lead_to(target)
        assert not cluster.holds_address(source)
        cluster.wait_served(client)

        removed = [each.tag for each in cluster.since(mark, source, "action-finished")]
        restored = [each.tag for each in cluster.since(mark, target, "action-finished")]
        assert (removed, restored) == ([*reversed(TAGS)], [*TAGS]), "top-down, then bottom-up"
        timeline = cluster.timelines(target)[0]
        assert (timeline.cause, timeline.complete) == ("switchover", True)
    client.stop()
    cluster.wait_connected()


def test_an_operator_takes_the_service_out_and_brings_it_in_again(cluster: Cluster) -> None:
    cluster.kage("db-02", "out-of-service", HIERARCHY)
    assert cluster.states("db-01") == {"OSU"}
    mark = now_ms()
    for node in cluster.nodes:
        cluster.wait_heartbeats(node, 20)
        assert not cluster.since(mark, node, "ownership-sought"), "held: nobody takes it"

    cluster.kage("db-02", "in-service", HIERARCHY, "--node", "db-02")
    assert cluster.in_service("db-02")
    assert cluster.routes_lead_to("db-02")
