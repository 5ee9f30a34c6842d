"""A node with another cluster key: it is heard by nobody, and must not look like one that is away."""

from __future__ import annotations

from pathlib import Path

from agent.comm.keys import generate
from tests.runtime.loopback import AgentProcess, loopback
from tests.runtime.waiting import wait_until


def test_a_node_with_another_key_is_told_from_one_that_is_away(tmp_path: Path) -> None:
    def warns(agent: AgentProcess, of: str) -> bool:
        status = agent.status()
        return status is not None and any(of in warning for warning in status.warnings)

    with loopback(tmp_path) as cluster:
        a, b = cluster.start_both()
        assert not warns(a, "another key")
        b.end()
        (cluster.home / "key").unlink()
        generate(cluster.home / "key")
        b = cluster.start("b")
        wait_until(lambda: warns(a, "compare the key file with that of b"))
        wait_until(lambda: warns(b, "compare the key file with that of a"))
