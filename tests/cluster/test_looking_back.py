"""`kage replay` and `kage check` on the machines of a cluster."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from tests.cluster.cluster import Cluster
from tests.machines.lab import CONFIG
from tests.machines.machine import CommandFailed

pytestmark = pytest.mark.cluster


def test_a_replayed_failover_comes_to_the_same_decisions(cluster: Cluster) -> None:
    cluster.power_off("db-01")
    cluster.wait_in_service("db-02")
    cluster.agents["db-02"].stop()  # which writes the journal out
    lines: list[str] = cluster.kage("db-02", "replay", "/mnt/disk/state/journal/journal-0.jsonl")
    assert lines[0].startswith("node db-02, ")
    assert not [line for line in lines if "decides otherwise" in line or "cut off" in line]
    story = "\n".join(lines)
    found = [
        story.index(each)
        for each in (
            "peer-lost db-01: silent on every comm path",
            "ownership-sought groupware db-01: taking it: its owner is lost",
            "start restore of fs-dir1",
            "start restore of ip-vip",
            "in-service groupware",
        )
    ]
    assert found == sorted(found)


@pytest.mark.skipif(os.geteuid() != 0, reason="in a user's namespace the root directory has a foreign owner")
def test_check_finds_nothing_where_all_is_well_and_what_is_missing_where_it_is_not(cluster: Cluster) -> None:
    assert _check(cluster)["findings"] == []

    missing = "rtb-00000000000000000"
    cluster.write_config(
        cluster.api("db-01")
        .config()
        .text.replace(cluster.world.route_tables[1], missing)
        .replace('recover = "/mnt/disk/etc/script.sh"', 'recover = "/mnt/disk/etc/gone.sh"', 1),
        "db-01",
    )
    found = {each["tag"]: each for each in _check(cluster)["findings"]}
    assert missing in found.pop("route-vip")["problem"]
    assert "/mnt/disk/etc/gone.sh: No such file" in found.pop("cyss_cbgrn")["problem"]
    assert found == {}
    assert cluster.in_service("db-01"), "a check changes nothing"


def _check(cluster: Cluster) -> Any:
    try:
        return cluster.kage("db-01", "check", CONFIG)
    except CommandFailed as failed:
        if failed.code != 1:  # which says that there are findings
            raise
        return json.loads(failed.output)
