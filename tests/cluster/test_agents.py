"""Agents crash, are stopped and are started again; what they look after goes on."""

from __future__ import annotations

import signal

import pytest

from tests.cluster.cluster import WITHIN_S, Cluster, now_ms
from tests.machines.lab import HIERARCHY, NODES

pytestmark = pytest.mark.cluster


def test_a_crash_of_the_active_nodes_agent_touches_nothing_and_is_not_even_noticed_as_a_loss(
    cluster: Cluster,
) -> None:
    mark, before = now_ms(), cluster.touched()
    term = cluster.hierarchy("db-01").term
    pid = cluster.agents["db-01"].pid()
    cluster.agents["db-01"].signal(signal.SIGKILL)
    cluster.wait_until(lambda: cluster.agents["db-01"].pid() != pid, WITHIN_S, "the agent is started again")
    cluster.wait_for(mark, "db-01", "adopted")
    cluster.wait_connected()
    cluster.wait_heartbeats("db-02", 10)
    cluster.wait_checked("db-01")

    assert not cluster.since(mark, "db-02", "peer-lost", "path-down", "ownership-sought")
    assert cluster.touched() == before
    assert cluster.in_service("db-01")
    assert cluster.hierarchy("db-02").term == cluster.hierarchy("db-01").term == term


def test_stopping_the_active_nodes_agent_leaves_the_applications_alone_until_it_returns(
    cluster: Cluster,
) -> None:
    client = cluster.start_client()
    cluster.wait_served(client)
    mark, before = now_ms(), cluster.touched()
    cluster.agents["db-01"].stop()
    cluster.wait_for(mark, "db-02", "peer-left", peer="db-01")
    cluster.wait_served(client, for_s=4.0)  # twice as long as a silence that means death
    assert not cluster.since(mark, "db-02", "peer-lost", "ownership-sought")

    cluster.agents["db-01"].start()
    cluster.wait_for(mark, "db-01", "adopted")
    cluster.wait_in_service("db-01")
    cluster.wait_served(client)
    client.stop()
    assert cluster.touched() == before
    cluster.wait_connected()
    assert not cluster.since(mark, "db-02", "ownership-sought")


def test_what_an_operator_holds_out_of_service_stays_so_when_all_agents_start_anew(cluster: Cluster) -> None:
    cluster.kage("db-02", "out-of-service", HIERARCHY)
    cluster.wait_until(
        lambda: all(cluster.hierarchy(node).held for node in NODES), WITHIN_S, "both nodes know it is held"
    )
    for node in NODES:
        cluster.agents[node].stop()
    mark, before = now_ms(), cluster.touched()
    for node in NODES:
        cluster.agents[node].start()
    cluster.wait_connected()
    for node in NODES:
        cluster.wait_heartbeats(node, 40)
        assert cluster.hierarchy(node).held
        assert cluster.states(node) == {"OSU"}
        assert not cluster.since(mark, node, "ownership-sought")
    assert cluster.touched() == before

    cluster.kage("db-02", "in-service", HIERARCHY)
    assert cluster.in_service("db-01")
