"""The configuration changes while the agents run."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import RESOURCE, WITHIN_S, Cluster, now_ms
from tests.machines.lab import CONFIG, HIERARCHY, NODES
from tests.machines.machine import CommandFailed

pytestmark = pytest.mark.cluster


def test_a_wrong_file_is_refused_with_its_line_and_the_one_before_stays(cluster: Cluster) -> None:
    mark, before = now_ms(), cluster.api("db-01").config()
    text = before.text.replace('preset = "balanced"', 'preset = "hasty"')
    line = text.splitlines().index('preset = "hasty"') + 1
    cluster.write_config(text)
    for node in NODES:  # by watching the file
        refused = cluster.wait_for(mark, node, "config-refused")
        assert f"{CONFIG}:{line}: cluster.preset" in refused.text
    with pytest.raises(CommandFailed, match=f"{CONFIG}:{line}: cluster.preset"):
        cluster.kage_text("db-01", "config", "reload")

    assert cluster.api("db-01").config() == before
    assert cluster.in_service("db-01")
    cluster.write_config(before.text)
    assert "nothing changed" in cluster.kage_text("db-01", "config", "reload")


def test_a_good_change_is_adopted_when_the_file_is_written(cluster: Cluster) -> None:
    mark, before = now_ms(), cluster.api("db-01").config().digest
    cluster.configure({f"{RESOURCE}.cyde_5_0.check_interval": "100ms"})
    for node in NODES:
        cluster.wait_for(mark, node, "config-loaded")
    new = cluster.api("db-01").config().digest
    assert new != before
    cluster.wait_until(
        lambda: {each.config_digest for each in cluster.status("db-01").nodes} == {new},
        WITHIN_S,
        "both run with the new one",
    )
    cluster.wait_checked("db-01", times=10)
    assert cluster.in_service("db-01")
    assert not cluster.since(mark, "db-01", "resource-failed", "move-begun", "out-of-service")


def test_a_change_that_would_pull_a_running_resource_away_is_refused_with_what_to_do(
    cluster: Cluster,
) -> None:
    mark = now_ms()
    cluster.configure({f"{RESOURCE}.ip-vip.address": "10.1.0.11/32"})
    refused = cluster.wait_for(mark, "db-01", "config-refused")
    assert "ip-vip is in service, and its parameters changed" in refused.text
    assert "take it out of service first" in refused.text
    assert cluster.in_service("db-01")

    cluster.kage("db-01", "out-of-service", HIERARCHY)
    cluster.wait_until(
        lambda: cluster.hierarchy("db-02").held and cluster.states("db-01") == {"OSU"},
        WITHIN_S,
        "all is down",
    )
    for node in NODES:
        cluster.kage(node, "config", "reload")
    cluster.kage("db-01", "in-service", HIERARCHY)
    assert "10.1.0.11/32" in cluster.machines["db-01"].run("ip", "-4", "address", "show", "dev", "eth0")
