"""What stands between a node and the hierarchy of a lost owner: evidence, an operator, the outside."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cluster.cluster import GRANT_MS, MARGIN_MS, WITHIN_S, Cluster, now_ms
from tests.machines import cloud
from tests.machines.lab import HIERARCHY, NODES, WITHOUT_QUORUM
from tests.machines.settings import Settings

pytestmark = pytest.mark.cluster

AGENT = "/mnt/disk/etc/fence.sh"
FENCING: Settings = {
    "fencing.level.switch.priority": 1,
    "fencing.level.switch.kind": "agent",
    "fencing.level.switch.agent": AGENT,
    "fencing.level.switch.limit": "60s",
    **{f"fencing.level.switch.node.{node}.options": [f"plug={node}"] for node in NODES},
}
CONFIRM: Settings = {
    f"hierarchy.{HIERARCHY}.confirm_failover.within": "10min",
    f"hierarchy.{HIERARCHY}.confirm_failover.default": "no",
}
NOBODY_ASKED: Settings = {**CONFIRM, f"hierarchy.{HIERARCHY}.confirm_failover.within": "2s"}
OUTSIDE = [f"{cloud.ADDRESS}:{cloud.PORT}"]


class Switch:
    """The power switch that both nodes' fence agents work, in the test's hands."""

    def __init__(self, cluster: Cluster, held_by: str) -> None:
        self._cluster, self._directory = cluster, cluster.disk(held_by) / "fence"
        self._directory.mkdir()
        for node in NODES:
            shutil.copy(Path(__file__).with_name("fence.sh"), cluster.disk(node) / "etc")

    def asked(self) -> bool:
        """Whether somebody was to be switched off."""
        return (self._directory / "asked").exists()

    def break_down(self) -> None:
        """Let it fail from now on."""
        (self._directory / "broken").touch()

    def turn_off(self, node: str) -> None:
        """Do as the agent was asked."""
        self._cluster.power_off(node)
        (self._directory / f"{node}.off").touch()


@pytest.mark.parametrize("cluster", [{**WITHOUT_QUORUM, **FENCING}], indirect=True)
def test_without_quorum_a_lost_owner_is_switched_off_before_another_node_starts(cluster: Cluster) -> None:
    switch, before = Switch(cluster, "db-02"), cluster.touched()
    mark = now_ms()
    cluster.network.cut("db-01")
    cluster.wait_until(switch.asked, WITHIN_S, "db-02 asks for db-01 to be switched off")
    cluster.wait_past(now_ms() + 2 * GRANT_MS)
    assert cluster.touched() == before, "the switch says that db-01 is on"
    assert cluster.in_service("db-01")

    cluster.start_pulse("db-01")
    switch.turn_off("db-01")
    cluster.wait_in_service("db-02")
    evidence = cluster.wait_for(mark, "db-02", "peer-fenced", peer="db-01")
    assert "Status: OFF" in evidence.text
    ended, started = cluster.last_pulse_ms("db-01"), cluster.first_restore_ms(mark, "db-02")
    assert ended < evidence.at_ms <= started


@pytest.mark.parametrize("cluster", [{**WITHOUT_QUORUM, **FENCING}], indirect=True)
def test_where_fencing_fails_nothing_starts_until_an_operator_vouches_for_it(cluster: Cluster) -> None:
    switch, before = Switch(cluster, "db-02"), cluster.touched()
    switch.break_down()
    mark = now_ms()
    cluster.power_off("db-01")
    alarm = cluster.wait_for(mark, "db-02", "fencing-failed", peer="db-01", within_s=2 * WITHIN_S)
    assert alarm.severity == "alarm"
    assert "the switch can't be reached" in alarm.text
    cluster.wait_past(now_ms() + 2 * GRANT_MS)
    assert cluster.touched() == before
    assert not cluster.since(mark, "db-02", "ownership-taken")

    cluster.kage("db-02", "in-service", HIERARCHY, "--owner-is-off", "db-01")
    assert cluster.in_service("db-02")


@pytest.mark.parametrize("cluster", [FENCING], indirect=True)
def test_with_quorum_nothing_waits_for_fencing_unless_that_is_required(cluster: Cluster) -> None:
    switch, mark = Switch(cluster, "db-02"), now_ms()
    cluster.network.cut("db-01")
    cluster.wait_in_service("db-02")
    cluster.wait_until(switch.asked, WITHIN_S, "db-01 is to be switched off all the same")
    assert not cluster.since(mark, "db-02", "peer-fenced")


@pytest.mark.parametrize("cluster", [{**FENCING, "fencing.required": True}], indirect=True)
def test_with_quorum_a_winner_may_have_to_wait_for_evidence(cluster: Cluster) -> None:
    switch, before, mark = Switch(cluster, "db-02"), cluster.touched(), now_ms()
    cluster.power_off("db-01")
    cluster.wait_until(switch.asked, WITHIN_S, "db-01 is to be switched off")
    assert cluster.since(mark, "db-02", "ownership-taken"), "who can't win fences nobody"
    cluster.wait_past(now_ms() + 2 * GRANT_MS)
    assert cluster.touched() == before

    switch.turn_off("db-01")
    cluster.wait_in_service("db-02")


@pytest.mark.parametrize("cluster", [CONFIRM], indirect=True)
def test_where_an_operator_is_to_confirm_a_failover_nothing_starts_before(cluster: Cluster) -> None:
    before, mark = cluster.touched(), now_ms()
    cluster.power_off("db-01")
    question = cluster.wait_for(mark, "db-02", "confirmation")
    assert question.severity == "alarm"
    assert f"kage confirm {HIERARCHY} yes" in question.text
    cluster.wait_past(mark + 3 * (GRANT_MS + MARGIN_MS))
    assert cluster.touched() == before

    cluster.kage("db-02", "confirm", HIERARCHY, "yes")
    cluster.wait_in_service("db-02")


@pytest.mark.parametrize("cluster", [NOBODY_ASKED], indirect=True)
def test_without_an_answer_in_time_the_default_holds(cluster: Cluster) -> None:
    before, mark = cluster.touched(), now_ms()
    cluster.power_off("db-01")
    cluster.wait_until(
        lambda: [each for each in cluster.since(mark, "db-02", "confirmation") if "nobody" in each.text],
        WITHIN_S,
        "nobody answered in time",
    )
    cluster.wait_past(now_ms() + 2 * GRANT_MS)
    assert cluster.touched() == before
    assert not cluster.since(mark, "db-02", "ownership-sought")


@pytest.mark.parametrize("cluster", [{**WITHOUT_QUORUM, "cluster.isolation_check": OUTSIDE}], indirect=True)
def test_a_node_that_reaches_nothing_outside_takes_nothing_over(cluster: Cluster) -> None:
    before, mark = cluster.touched(), now_ms()
    cluster.network.cut("db-02")
    alarm = cluster.wait_for(mark, "db-02", "isolated")
    assert alarm.severity == "alarm"
    cluster.wait_past(now_ms() + 2 * GRANT_MS)
    assert not cluster.since(mark, "db-02", "ownership-sought")
    assert cluster.touched() == before

    cluster.network.heal()
    cluster.wait_connected()
    assert cluster.in_service("db-01")


@pytest.mark.parametrize("cluster", [{**WITHOUT_QUORUM, "cluster.isolation_check": OUTSIDE}], indirect=True)
def test_a_node_that_reaches_the_outside_takes_over_what_a_lost_owner_ran(cluster: Cluster) -> None:
    mark = now_ms()
    cluster.power_off("db-01")
    cluster.wait_in_service("db-02")
    assert not [each for each in cluster.since(mark, "db-02", "isolated") if each.severity == "alarm"]
