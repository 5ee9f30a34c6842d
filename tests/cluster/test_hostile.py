"""Strangers and recordings on the comm paths."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.api.reports import HierarchyView
from tests.cluster.cluster import Cluster, now_ms
from tests.machines.lab import NODES
from tests.machines.machine import Machine

pytestmark = pytest.mark.cluster

PORT = 7400
ADDRESSES = ("10.0.3.4", "10.0.12.4")  # of db-01


@pytest.mark.parametrize("sender", ["vpc", "db-02"])
def test_a_flood_of_garbage_replayed_and_cut_datagrams_changes_nothing(
    cluster: Cluster, tmp_path: Path, sender: str
) -> None:
    machine: Machine = cluster.vpc if sender == "vpc" else cluster.machines[sender]
    recording = tmp_path / "recording"
    here = Path(__file__).parent
    cluster.vpc.run(sys.executable, str(here / "capture.py"), str(recording), str(PORT), "20")

    before, pid = cluster.status("db-01"), cluster.agents["db-01"].pid()
    hierarchy, mark = _without_times(cluster), now_ms()
    flood = (sys.executable, str(here.parent / "comm/flood.py"), "10", str(recording), str(PORT), *ADDRESSES)
    sent = int(machine.run(*flood, within_s=30))
    assert sent > 10_000

    after = cluster.status("db-01")
    more = {
        reason: count - before.counters.dropped.get(reason, 0)
        for reason, count in after.counters.dropped.items()
    }
    assert min(more.get(reason, 0) for reason in ("length", "magic", "replay", "seal")) > 100, more
    assert cluster.agents["db-01"].pid() == pid
    assert _without_times(cluster) == hierarchy
    lost = ("peer-lost", "path-down", "ownership-sought", "ownership-lost", "resource-failed")
    assert not [event for node in NODES for event in cluster.since(mark, node, *lost)]
    assert after.counters.heartbeats_heard - before.counters.heartbeats_heard > 100, "of 200 in 10 s"
    cluster.wait_connected()


def _without_times(cluster: Cluster) -> HierarchyView:
    return replace(cluster.hierarchy("db-01"), authority=None)  # whose grants have always less time left
