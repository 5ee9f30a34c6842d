"""What a node fetches at its first boot, and again after each change of its cluster.toml."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import boto3
import pytest

from tests.machines.machine import PROJECT

PROGRAM = PROJECT / "terraform/modules/node/files/kagemusha_configure.py"


class Store:
    """Parameter Store, in which every parameter's value is its name."""

    def get_parameter(self, **wanted: object) -> dict[str, dict[str, object]]:
        return {"Parameter": {"Value": wanted["Name"]}}


def test_a_key_that_was_rotated_on_the_node_stays_and_cluster_toml_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "client", lambda *_, **__: Store())
    monkeypatch.setattr("sys.argv", [str(PROGRAM), str(tmp_path)])
    wanted = {"region": "ap-northeast-1", "cluster.key": "first key", "cluster.toml": "first"}
    (tmp_path / "parameters.json").write_text(json.dumps(wanted))
    runpy.run_path(str(PROGRAM), run_name="__main__")
    assert (tmp_path / "cluster.key").read_text() == "first key\n"
    (tmp_path / "cluster.key").unlink()
    (tmp_path / "cluster.key").write_text("rotated\n")
    (tmp_path / "parameters.json").write_text(json.dumps(wanted | {"cluster.toml": "second"}))
    runpy.run_path(str(PROGRAM), run_name="__main__")
    assert (tmp_path / "cluster.key").read_text() == "rotated\n"
    assert (tmp_path / "cluster.toml").read_text() == "second\n"
