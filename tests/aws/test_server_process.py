"""The test server as a process of its own, as the demo and the cluster tests run it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import msgspec

from tests.aws_server import Control, Profile, Rule, World


def test_it_seeds_serves_metadata_and_ends_when_told(tmp_path: Path) -> None:
    profile = Profile(instance_id="i-0c", availability_zone="a", region="r", interfaces={"02:": "eni-0c"})
    file = tmp_path / "witness.json"
    file.write_text(json.dumps(asdict(profile)))
    options = ["--seed", "--imds", "127.0.0.1:0=db-01", "--imds", f"127.0.0.1:0={file}"]
    command = [sys.executable, "-m", "tests.aws_server", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            ready = json.loads(server.stdout.readline())
            world = msgspec.convert(ready["world"], type=World)
            assert [node.name for node in world.nodes] == ["db-01", "db-02"]
            assert [node.availability_zone[-1] for node in world.nodes] == ["a", "c"]
            assert len(set(ready["imds"])) == 2
            control = Control(ready["url"])
            control.set_faults(Rule(fault="hang"))
            control.metadata_down(world.node("db-01").instance_id, down=True)
            control.metadata_down("i-0c", down=True)
            assert control.faults() == [Rule(fault="hang")]
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0
