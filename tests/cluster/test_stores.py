"""The disk of an agent's own records is full."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import SCRIPT, WITHIN_S, Cluster, now_ms
from tests.machines.lab import EXAMPLE

pytestmark = pytest.mark.cluster

SECOND = "second"
TWO_HIERARCHIES = {
    f"hierarchy.{SECOND}.nodes": ["db-01", "db-02"],
    f"hierarchy.{SECOND}.resource.thing.kit": "generic",
    f"hierarchy.{SECOND}.resource.thing.id": "thing",
    f"hierarchy.{SECOND}.resource.thing.restore": SCRIPT,
    f"hierarchy.{SECOND}.resource.thing.remove": SCRIPT,
    f"hierarchy.{SECOND}.resource.thing.info": str(EXAMPLE / "scripts"),
}
STATE = "/mnt/disk/state"


@pytest.mark.parametrize("dark", [TWO_HIERARCHIES], indirect=True)
def test_with_a_full_disk_what_runs_goes_on_but_nothing_is_taken_over_until_there_is_space(
    dark: Cluster,
) -> None:
    for node in dark.nodes:
        for action in ("restore", "remove"):
            dark.sabotage(node, "thing", action, "exit 0")
        dark.boot(node)
        dark.machines[node].run("mount", "-t", "tmpfs", "-o", "size=16M", "tmpfs", STATE)
        dark.agents[node].start()
    dark.wait_in_service("db-01")
    dark.wait_in_service("db-01", hierarchy=SECOND)
    dark.wait_connected()

    machine, mark = dark.machines["db-01"], now_ms()
    machine.run("dd", "if=/dev/zero", f"of={STATE}/filler", "bs=4k", check=False)
    dark.kage("db-01", "in-service", SECOND, "--node", "db-02")
    alarm = dark.wait_for(mark, "db-01", "store-failed")
    assert alarm.severity == "alarm"
    assert f"{STATE}/state.db" in alarm.text
    dark.wait_checked("db-01")
    assert dark.in_service("db-01"), "what runs goes on"
    assert dark.in_service("db-02", SECOND), "what was moved away is there"
    assert not dark.hierarchy("db-02", SECOND).nodes["db-01"].eligible
    refused = dark.api("db-02").bring_in_service(SECOND, "db-01")
    assert not refused.accepted
    assert "its store can't be written" in refused.text

    machine.run("rm", f"{STATE}/filler")
    dark.wait_for(mark, "db-01", "store-mended")
    dark.wait_until(
        lambda: dark.hierarchy("db-02", SECOND).nodes["db-01"].eligible, WITHIN_S, "db-01 is eligible again"
    )
    dark.kage("db-02", "in-service", SECOND, "--node", "db-01")
    assert dark.in_service("db-01", SECOND)
