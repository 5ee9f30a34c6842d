"""Real agents on kernels of their own: the one thing that has to work before anything is built on it."""

from __future__ import annotations

import pytest

from tests.lab.cluster import VmCluster
from tests.logs import LOGS
from tests.machines.client import now_s

WITHIN_S = 300.0  # a minute where nothing else runs


@pytest.mark.cluster
def test_the_other_guest_takes_over_when_the_power_of_one_is_cut(
    built: None, request: pytest.FixtureRequest
) -> None:
    with VmCluster() as lab:
        request.node.stash[LOGS] = lab.log_tails
        lab.start()
        lab.wait_in_service("db-01", WITHIN_S)
        lab.wait_until(lambda: lab.hierarchy("db-01").nodes["db-02"].eligible, WITHIN_S, "db-02 eligible")
        client = lab.start_client()
        lab.power_cut("db-01")
        cut_s = now_s()
        lab.wait_in_service("db-02", WITHIN_S)
        lab.wait_until(lambda: client.working_since(cut_s), WITHIN_S, "the client is served by db-02")
