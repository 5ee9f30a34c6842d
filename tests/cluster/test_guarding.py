"""An agent that hangs, is killed or is stopped: a guardian sees to it that its node is harmless in time."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from agent.fencing.guardian import NAME
from tests.aws_server import Rule
from tests.cluster.cluster import GRANT_MS, MARGIN_MS, WITHIN_S, Cluster, now_ms
from tests.machines.lab import NODES
from tests.machines.leftovers import HostState

pytestmark = pytest.mark.cluster
STOOD_STILL_MS = 30_000


def test_an_agent_that_hangs_is_replaced_by_its_guardian_before_another_node_starts(cluster: Cluster) -> None:
    cluster.start_pulse("db-01")
    mark = now_ms()
    cluster.agents["db-01"].signal(signal.SIGSTOP)
    cluster.wait_in_service("db-02")
    _require_off_first(cluster, mark)


def test_an_agent_that_hangs_for_less_than_its_grants_last_is_not_even_missed(cluster: Cluster) -> None:
    mark, before = now_ms(), cluster.touched()
    cluster.agents["db-01"].signal(signal.SIGSTOP)
    cluster.wait_past(now_ms() + GRANT_MS // 4)
    cluster.agents["db-01"].signal(signal.SIGCONT)
    cluster.wait_for(mark, "db-01", "paused")
    cluster.wait_past(now_ms() + 2 * GRANT_MS)
    assert cluster.in_service("db-01")
    assert cluster.touched() == before
    assert not cluster.since(mark, "db-02", "peer-lost", "ownership-sought")


def test_a_machine_that_stood_still_while_another_took_over_is_harmless_at_once(cluster: Cluster) -> None:
    cluster.start_pulse("db-01")
    mark = now_ms()
    cluster.machines["db-01"].freeze()
    cluster.wait_in_service("db-02")
    cluster.wait_past(mark + STOOD_STILL_MS)
    frozen, started = cluster.last_pulse_ms("db-01"), cluster.first_restore_ms(mark, "db-02")
    assert frozen < started
    before = cluster.touched()

    thawed = now_ms()
    cluster.machines["db-01"].thaw()
    cluster.wait_off("db-01")
    ran_ms = cluster.last_pulse_ms("db-01") - thawed
    assert ran_ms < 4 * MARGIN_MS, "what docs/quorum.md says it may, and time for a busy machine"
    assert cluster.in_service("db-02")
    assert cluster.touched() == before
    assert cluster.routes_lead_to("db-02")


def test_an_agent_that_is_killed_and_not_started_again_is_failed_over(cluster: Cluster) -> None:
    cluster.start_pulse("db-01")
    mark = now_ms()
    cluster.agents["db-01"].crash()
    cluster.wait_in_service("db-02")
    _require_off_first(cluster, mark)


def test_an_agent_that_is_killed_and_started_again_goes_on_with_its_guardian(cluster: Cluster) -> None:
    mark, before, guardian = now_ms(), cluster.touched(), _guardians(cluster, "db-01")
    assert len(guardian) == 1
    pid = cluster.agents["db-01"].pid()
    cluster.agents["db-01"].signal(signal.SIGKILL)
    cluster.wait_until(lambda: cluster.agents["db-01"].pid() != pid, WITHIN_S, "the agent is started again")
    cluster.wait_for(mark, "db-01", "adopted")
    cluster.wait_past(now_ms() + 2 * (GRANT_MS + MARGIN_MS))
    assert cluster.machines["db-01"].on
    assert _guardians(cluster, "db-01") == guardian
    assert cluster.touched() == before
    for node in NODES:
        assert not cluster.since(mark, node, "ownership-sought", "ownership-lost", "unguarded")


def test_a_guardian_that_is_killed_is_an_alarm_and_is_replaced(cluster: Cluster) -> None:
    mark, before, (guardian,) = now_ms(), cluster.touched(), _guardians(cluster, "db-01")
    os.kill(guardian, signal.SIGKILL)
    alarm, relief = (
        cluster.wait_for(mark, "db-01", "unguarded", severity=each) for each in ("alarm", "info")
    )
    assert alarm.at_ms <= relief.at_ms
    (another,) = _guardians(cluster, "db-01")
    assert another != guardian

    cluster.start_pulse("db-01")
    mark = now_ms()
    assert cluster.touched() == before
    cluster.agents["db-01"].signal(signal.SIGSTOP)
    cluster.wait_in_service("db-02")
    _require_off_first(cluster, mark)


def test_a_stopped_agents_services_are_left_alone_even_by_a_peer_that_starts_anew(cluster: Cluster) -> None:
    client = cluster.start_client()
    cluster.wait_served(client)
    mark, before = now_ms(), cluster.touched()
    cluster.agents["db-01"].stop()
    cluster.wait_for(mark, "db-02", "peer-left", peer="db-01")
    cluster.agents["db-02"].stop()
    cluster.agents["db-02"].start()
    cluster.wait_until(lambda: cluster.status("db-02"), WITHIN_S, "the agent answers")
    cluster.wait_served(client, for_s=3 * (GRANT_MS + MARGIN_MS) / 1_000)
    assert not cluster.since(mark, "db-02", "ownership-sought", "ownership-taken")
    assert _guardians(cluster, "db-01") == []

    cluster.agents["db-01"].start()
    cluster.wait_for(mark, "db-01", "adopted")
    cluster.wait_in_service("db-01")
    client.stop()
    assert client.outage_s(mark / 1_000, now_ms() / 1_000) < GRANT_MS / 1_000
    assert cluster.touched() == before
    cluster.wait_connected()
    assert len(_guardians(cluster, "db-01")) == 1


def test_an_agent_that_is_stopped_where_nobody_can_consent_leaves_its_node_to_the_guardian(
    cluster: Cluster,
) -> None:
    cluster.cloud.set_faults(Rule(operation="dynamodb:*", fault="hang"))
    cluster.power_off("db-02")
    cluster.agents["db-01"].stop()
    cluster.wait_off("db-01")
    log = (cluster.logs / "db-01.agent.log").read_text()
    assert "ending without a goodbye" in log


def test_guardians_end_with_their_lab() -> None:
    host = HostState.now()
    with Cluster() as lab:
        lab.start()
        lab.begin_on("db-01")
        pids = [pid for node in NODES for pid in lab.machines[node].everything()]
        assert all(len(_guardians(lab, node)) == 1 for node in NODES)
        directory = lab.directory
    assert host.left(pids, directory) == []


def _guardians(cluster: Cluster, node: str) -> list[int]:
    """The host's numbers of the node's guardians."""
    names = {pid: Path(f"/proc/{pid}/comm") for pid in cluster.machines[node].processes()}
    return [pid for pid, comm in names.items() if comm.exists() and comm.read_text().strip() == NAME]


def _require_off_first(cluster: Cluster, mark: int) -> None:
    ended, started = cluster.last_pulse_ms("db-01"), cluster.first_restore_ms(mark, "db-02")
    figures = f"db-01 ran until {ended - mark} ms, db-02 started at {started - mark} ms"
    assert not cluster.machines["db-01"].on, figures
    assert ended < started, figures
