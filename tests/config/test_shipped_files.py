"""The files that Kagemusha ships: the example cluster and each kit's example."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent.config import load
from agent.config.lines import find_lines
from agent.config.resources import read_resource
from agent.config.values import Problems
from agent.core.ids import NodeId
from recovery_kits.registry import BUILT_IN, kits

ROOT = Path(__file__).parents[2]
GAROON = ROOT / "examples" / "garoon" / "cluster.toml"


def test_the_example_cluster_loads() -> None:
    config = load(GAROON, kits())
    (hierarchy,) = config.cluster.hierarchies
    assert hierarchy.nodes == config.cluster.nodes == ("db-01", "db-02")
    order = [resource.tag for resource in hierarchy.resources]
    assert order == ["mirror-dir1", "fs-dir1", "cyde_5_0", "cyss_cbgrn", "route-vip", "ip-vip"]
    intervals_ms = [resource.check_interval_ms for resource in hierarchy.resources]
    assert all(interval_ms > 0 for interval_ms in intervals_ms)
    assert [path.name for path in config.paths] == ["eni-0", "eni-1"]
    assert config.cluster.voters == 3
    assert config.notes == ()


def test_the_file_servers_example_loads() -> None:
    config = load(ROOT / "examples" / "nfs" / "cluster.toml", kits())
    (hierarchy,) = config.cluster.hierarchies
    order = [resource.tag for resource in hierarchy.resources]
    assert order == ["mirror-dir1", "fs-dir1", "nfs-dir1", "route-files", "ip-files"]
    assert hierarchy.nodes == ("files-01", "files-02")
    assert config.notes == ()


@pytest.mark.parametrize("kind", BUILT_IN)
def test_a_kits_example_is_right(kind: str) -> None:
    text = (ROOT / "recovery_kits" / kind.replace("-", "_") / "example.toml").read_text()
    problems = Problems(find_lines(text))
    for name, hierarchy in tomllib.loads(text)["hierarchy"].items():
        for tag, table in hierarchy["resource"].items():
            where = ("hierarchy", name, "resource", tag)
            read_resource(tag, table, where, [NodeId("db-01"), NodeId("db-02")], kits(), problems)
    assert problems.sorted() == []
