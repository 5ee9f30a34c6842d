"""`kage check` on a node: what protects the cluster is tried before it is needed."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.cli import looks
from agent.cli.main import main
from agent.comm import keys
from tests.aws_server import REGION, AwsServer, World
from tests.aws_server.fixtures import aws_process, aws_server, only_loopback, world

__all__ = ["aws_process", "aws_server", "only_loopback", "world"]

CLUSTER = """\
[cluster]
name = "lab"
key_file = "{key}"
{settings}

[aws]
region = "{region}"

[comm_path.eni-0]
priority = 1
db-01 = "127.0.3.4"
db-02 = "127.0.6.4"

[hierarchy.app]
nodes = ["db-01", "db-02"]

[hierarchy.app.resource.script]
kit = "generic"
id = "app"
restore = "/bin/true"
remove = "/bin/true"

{tables}
"""
ARBITER = '[arbiter]\nkind = "dynamodb"\ntable = "kagemusha"\n'
ALONE = 'quorum = "none"'


class Checked:
    """What `kage check --node db-01` says of a cluster."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._directory, self._capsys = directory, capsys
        keys.generate(directory / "key")

    def findings(self, tables: str = "", settings: str = "") -> list[str]:
        """Its findings, each as `tag: problem`."""
        file, key = self._directory / "cluster.toml", self._directory / "key"
        file.write_text(CLUSTER.format(key=key, region=REGION, settings=settings, tables=tables))
        code = main(["check", str(file), "--node", "db-01"])
        text = self._capsys.readouterr().out
        found = [line.removeprefix("finding: ") for line in text.splitlines() if line.startswith("finding: ")]
        assert code == (1 if found else 0), text
        return found


@pytest.fixture
def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checked:
    return Checked(tmp_path, capsys)


def test_an_arbiter_that_works_is_no_finding_and_one_without_a_table_is(
    checked: Checked, aws_server: AwsServer
) -> None:
    (found,) = checked.findings(ARBITER)
    assert found == "arbiter: GetItem: ResourceNotFoundException: Requested resource not found"
    with closing(aws_server.dynamodb()) as client:
        client.create_table(
            TableName="kagemusha",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
    assert checked.findings(ARBITER) == []


def test_each_fencing_level_is_tried_against_the_other_nodes(
    checked: Checked, world: World, tmp_path: Path
) -> None:
    own, other = (world.node(node).instance_id for node in ("db-01", "db-02"))
    ec2 = '[fencing.level.stop]\npriority = 1\nkind = "ec2"\nnode.db-01.instance = "{}"\n'.format
    tables = f'{ec2(own)}node.db-02.instance = "{other}"\n'
    assert checked.findings(tables, ALONE) == []
    tables = f'{ec2(own)}node.db-02.instance = "i-0123456789abcdef0"\n'
    power = (
        f'[fencing.level.power]\npriority = 2\nkind = "agent"\nagent = "{tmp_path}/fence_gone"\n'
        'node.db-01.options = ["plug=1"]\nnode.db-02.options = ["plug=2"]\n'
    )
    stop, gone = checked.findings(tables + power, ALONE)
    assert stop.startswith("fencing stop: db-02: i-0123456789abcdef0: ")
    assert gone == f"fencing power: db-02: there is no {tmp_path}/fence_gone"


def test_a_watchdog_that_is_not_there_is_found(checked: Checked, tmp_path: Path) -> None:
    table = '[watchdog]\ndevice = "{}"\n'.format
    assert checked.findings(table("/dev/null"), ALONE) == []
    (found,) = checked.findings(table(tmp_path / "watchdog"), ALONE)
    assert found == f"watchdog: there is no device {tmp_path / 'watchdog'}"


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of 127.0.0.1 that takes connections."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody listens on, and nobody else can get."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def test_each_address_of_the_isolation_check_is_tried(
    checked: Checked, listening: int, refusing: int, only_loopback: None
) -> None:
    both = f'{ALONE}\nisolation_check = ["127.0.0.1:{listening}", "127.0.0.1:{refusing}"]'
    (found,) = checked.findings(settings=both)
    assert found == f"isolation_check: no connection to 127.0.0.1:{refusing} comes about within 2 s"


def test_what_hangs_is_given_up(checked: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "WITHIN_S", 0.5)
    hangs = tmp_path / "fence_hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    power = (
        f'[fencing.level.power]\npriority = 1\nkind = "agent"\nagent = "{hangs}"\n'
        'node.db-01.options = ["plug=1"]\nnode.db-02.options = ["plug=2"]\n'
    )
    assert checked.findings(power, ALONE) == ["fencing power: could not be looked at within 0.5 s"]
