"""Two nodes and an arbiter: whatever is cut, at most one of them runs it, and one does if it may."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from agent.core.effects import Kind
from tests.aws_server import Rule
from tests.cluster.cluster import GRANT_MS, MARGIN_MS, TAGS, WITHIN_S, Cluster, now_ms
from tests.machines.lab import HIERARCHY, NODES

pytestmark = pytest.mark.cluster

MOVES = ("ownership-taken", "ownership-lost", "ownership-released", "move-begun", "failover-begun")
FAILED = Rule(operation="dynamodb:*", fault="error", status=500, code="InternalServerError")
HANGS = Rule(operation="dynamodb:*", fault="hang")
LONG_S = float(os.environ.get("KAGE_AWAY_S", "30"))
STOP_MS = 4_000
STOP = {"cluster.on_authority_lost": "stop", "cluster.stop_within": f"{STOP_MS}ms"}
Record = Callable[[str, object], None]


def test_parted_nodes_that_both_reach_the_arbiter_leave_the_service_where_it_is(cluster: Cluster) -> None:
    client = cluster.start_client()
    cluster.wait_served(client)
    mark, before = now_ms(), cluster.touched()
    cluster.wait_arbiter_rests()
    written = len(cluster.arbiter_writes())
    cluster.network.part(*NODES)
    for node, other in (("db-01", "db-02"), ("db-02", "db-01")):
        cluster.wait_for(mark, node, "peer-lost", peer=other)
    cluster.wait_served(client, for_s=4 * GRANT_MS / 1_000)

    assert client.outage_s(mark / 1_000, now_ms() / 1_000) < GRANT_MS / 1_000, (
        "no longer than a busy machine's"
    )
    assert cluster.touched() == before
    assert cluster.in_service("db-01")
    assert not [each for node in NODES for each in cluster.since(mark, node, *MOVES, "fencing-myself")]
    assert len(cluster.arbiter_writes()) > written, "which is why db-01 may go on"
    owner, other = (cluster.kage_text(node, "status") for node in NODES)
    assert f"{HIERARCHY}  in service on db-01" in owner
    assert "db-02 can't run it: it is lost" in owner
    assert f"{HIERARCHY}  owned by db-01, which is not heard" in other
    assert "dead, lost" in other

    cluster.network.heal()
    cluster.wait_connected()
    cluster.wait_arbiter_rests()
    cluster.wait_eligible("db-02")
    client.stop()
    assert cluster.touched() == before
    assert cluster.in_service("db-01")
    assert {cluster.hierarchy(node).owner for node in NODES} == {"db-01"}


def test_an_owner_cut_off_from_everything_is_harmless_before_the_other_starts(
    cluster: Cluster, record_property: Record
) -> None:
    client = cluster.start_client()
    cluster.wait_served(client)
    cluster.start_pulse("db-01")
    mark = now_ms()
    cluster.network.cut("db-01")
    cluster.wait_in_service("db-02")
    cluster.wait_served(client)
    client.stop()

    _require_harmless_first(cluster, mark)
    assert cluster.routes_lead_to("db-02")
    record_property("outage_s", round(client.outage_s(mark / 1_000, now_ms() / 1_000), 3))


def test_an_owner_parted_right_after_a_move_goes_on(cluster: Cluster) -> None:
    cluster.power_off("db-01")
    cluster.wait_in_service("db-02")
    cluster.start("db-01")
    cluster.wait_connected()
    cluster.wait_eligible("db-01")
    cluster.kage("db-02", "in-service", HIERARCHY, "--node", "db-01")
    mark = now_ms()
    cluster.network.part(*NODES)
    cluster.wait_past(mark + 3 * GRANT_MS)
    assert cluster.in_service("db-01"), "db-02, whose vote the arbiter held, had voted for db-01 since"
    assert not cluster.since(mark, "db-02", "ownership-taken")


def _lacks_votes(cluster: Cluster, node: str) -> bool:
    waits = cluster.hierarchy(node).nodes[node].waits
    return waits is not None and waits.reason == "votes"


def test_an_owner_lost_soon_after_a_partition_is_taken_over_at_the_first_try(cluster: Cluster) -> None:
    cluster.network.part(*NODES)
    cluster.wait_until(lambda: _lacks_votes(cluster, "db-02"), WITHIN_S, "db-02 finds no majority")
    cluster.network.heal()
    cluster.wait_connected()
    cluster.wait_eligible("db-02")
    cluster.wait_past(now_ms() + 3 * (GRANT_MS + MARGIN_MS))  # it reads the arbiter until that rests
    mark = now_ms()
    cluster.power_off("db-01")
    cluster.wait_in_service("db-02")
    lost, taken = (cluster.since(mark, "db-02", kind)[0] for kind in ("peer-lost", "ownership-taken"))
    assert taken.at_ms - lost.at_ms < GRANT_MS, (
        "it didn't wait until the arbiter's record had rested once more"
    )
    assert not cluster.since(mark, "db-02", "ownership-denied")


def test_an_arbiter_that_is_away_for_long_is_an_alarm_and_nothing_else(cluster: Cluster) -> None:
    mark, before = now_ms(), cluster.touched()
    cluster.cloud.set_faults(FAILED)
    for node in NODES:
        alarm = cluster.wait_for(mark, node, Kind.ARBITER_TROUBLE.value, within_s=WITHIN_S + LONG_S)
        assert alarm.severity == "alarm"
    cluster.wait_past(mark + round(LONG_S * 1_000))
    cluster.cloud.set_faults(HANGS)
    cluster.wait_heartbeats("db-01", 50)
    told = [each for node in NODES for each in cluster.since(mark, node) if each.severity != "info"]
    assert {each.kind for each in told} == {Kind.ARBITER_TROUBLE.value}
    assert len(told) == 2, "each node says so once"
    assert cluster.touched() == before
    assert cluster.in_service("db-01")

    answer = cluster.kage("db-02", "in-service", HIERARCHY, "--node", "db-02")
    assert answer["reached"], answer
    assert cluster.in_service("db-02")

    cluster.cloud.set_faults()
    for node in NODES:
        cluster.wait_for(mark, node, Kind.ARBITER_MENDED.value)


@pytest.mark.parametrize("fault", [FAILED, HANGS], ids=["failing", "hanging"])
def test_without_peer_and_arbiter_an_owner_is_harmless_and_nobody_starts_until_one_is_back(
    cluster: Cluster, fault: Rule
) -> None:
    before = cluster.calls("db-02", "restore")
    cluster.start_pulse("db-01")
    cluster.cloud.set_faults(fault)
    mark = now_ms()
    cluster.network.part(*NODES)
    cluster.wait_off("db-01")
    lived_ms = cluster.last_pulse_ms("db-01") - mark
    assert lived_ms < 2 * (GRANT_MS + MARGIN_MS), "twice what is promised, for machines that are busy"
    cluster.wait_past(mark + 5 * GRANT_MS)
    assert not cluster.since(mark, "db-02", "ownership-taken")
    assert cluster.calls("db-02", "restore") == before
    assert not cluster.holds_address("db-02")

    cluster.cloud.set_faults()
    cluster.wait_in_service("db-02")
    _require_harmless_first(cluster, mark)


@pytest.mark.parametrize("cluster", [STOP], indirect=True)
def test_an_owner_may_stop_in_good_order_when_everybody_waits_for_that(cluster: Cluster) -> None:
    mark = now_ms()
    cluster.network.cut("db-01")
    cluster.wait_in_service("db-02", 2 * WITHIN_S)
    removed = [each for each in cluster.since(mark, "db-01", "action-finished") if each.action == "remove"]
    assert [each.tag for each in removed] == [*reversed(TAGS)]
    stopped, started = removed[-1].at_ms, cluster.first_restore_ms(mark, "db-02")
    assert stopped < started, (
        f"db-01 had stopped at {stopped - mark} ms, db-02 started at {started - mark} ms"
    )
    assert cluster.machines["db-01"].on
    assert not cluster.since(mark, "db-01", "fencing-myself")

    cluster.network.heal()
    cluster.wait_eligible("db-01")
    assert cluster.in_service("db-02")
    assert cluster.states("db-01") == {"OSU"}


@pytest.mark.parametrize("cluster", [STOP], indirect=True)
def test_an_owner_that_cannot_stop_in_time_fences_itself(cluster: Cluster) -> None:
    for action in ("remove", "force-remove"):
        cluster.sabotage("db-01", "cyde_5_0", action, "sleep 1000")
    cluster.start_pulse("db-01")
    mark = now_ms()
    cluster.network.cut("db-01")
    cluster.wait_in_service("db-02", 2 * WITHIN_S)
    _require_harmless_first(cluster, mark)
    assert "cyde_5_0 remove" in cluster.calls("db-01"), "it tried"


def _require_harmless_first(cluster: Cluster, mark: int) -> None:
    ended, started = cluster.last_pulse_ms("db-01"), cluster.first_restore_ms(mark, "db-02")
    figures = f"db-01 ran until {ended - mark} ms, db-02 started at {started - mark} ms"
    assert not cluster.machines["db-01"].on, figures
    assert ended < started, figures
