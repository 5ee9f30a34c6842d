"""What an agent gives its kits: the authority over their own hierarchy, and time-outs that fit it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent.aws import AwsError, AwsFault, AwsSession
from agent.config.model import Config
from agent.core.ids import FOREVER, HierarchyId, Tag
from agent.core.model import Heartbeat
from agent.core.states import Quorum
from agent.runtime.kitbox import KitBox, connect_timeout_ms
from recovery_kits.contract import Service
from recovery_kits.generic import GenericKit
from tests.runtime.inside import ME, read_config, write_config
from tests.runtime.waiting import on_loop, until

OTHER = """
[hierarchy.other]
nodes = ["b", "a"]

[hierarchy.other.resource.web]
kit = "generic"
id = "y"
restore = "/bin/true"
remove = "/bin/true"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return read_config(write_config(tmp_path, port=7365, more=OTHER))


def no_log(_tag: str, _line: str) -> None:
    """Nothing runs here."""


def test_each_kit_asks_for_the_authority_over_its_own_hierarchy(config: Config, tmp_path: Path) -> None:
    left_ms = {HierarchyId("app"): 700, HierarchyId("other"): -3}
    with closing(KitBox(ME, config, tmp_path, no_log, left_ms.__getitem__)) as box:
        made = box.make(config)
        assert {tag: kit.tools.authority.ms_left() for tag, kit in made.items()} == {"db": 700, "web": -3}
        left_ms[HierarchyId("app")] = 0
        assert made[Tag("db")].tools.authority.ms_left() == 0  # asked anew each time


def test_without_a_quorum_it_never_runs_out(config: Config, tmp_path: Path) -> None:
    with closing(KitBox(ME, config, tmp_path, no_log)) as box:
        assert {kit.tools.authority.ms_left() for kit in box.make(config).values()} == {FOREVER}


@pytest.mark.parametrize(
    ("quorum", "dead_after_ms", "expected_ms"),
    [(Quorum.NONE, 300, 1_000), (Quorum.MAJORITY, 300, 150), (Quorum.MAJORITY, 10_000, 1_000)],
)
def test_a_connection_that_comes_to_nothing_leaves_half_a_grant(
    config: Config, quorum: Quorum, dead_after_ms: int, expected_ms: int
) -> None:
    heartbeat = Heartbeat(interval_ms=dead_after_ms // 8, dead_after_ms=dead_after_ms)
    cluster = replace(config.cluster, quorum=quorum, heartbeat=heartbeat)
    assert connect_timeout_ms(replace(config, cluster=cluster)) == expected_ms


@on_loop
async def test_a_client_that_cannot_be_loaded_when_the_agent_starts_is_loaded_before_it_is_urgent(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = list[str]()

    async def away_at_first(_session: AwsSession, services: Sequence[Service]) -> None:
        tries.append(" ".join(services))
        if len(tries) < 3:
            raise AwsError(AwsFault.NETWORK, "instance metadata", "TimedOut", "no answer within 3 s")

    monkeypatch.setattr(AwsSession, "warm_up", away_at_first)
    monkeypatch.setattr(GenericKit, "aws_services", ("ec2",))
    monkeypatch.setattr("agent.runtime.kitbox.WARM_UP_PAUSES_S", (0.01,))
    with closing(KitBox(ME, config, tmp_path, no_log)) as box:
        box.make(config)
        await box.warm_up()
    assert tries == ["ec2"] * 3


@on_loop
async def test_just_the_clients_of_the_configured_kits_are_loaded_also_of_a_configuration_that_comes_later(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = list[Sequence[Service]]()

    async def load(_session: AwsSession, services: Sequence[Service]) -> None:
        loaded.append(services)

    monkeypatch.setattr(AwsSession, "warm_up", load)
    with closing(KitBox(ME, config, tmp_path, no_log)) as box:
        keeping = asyncio.create_task(box.keep_warm())
        try:
            box.make(config)  # none of its kits calls AWS
            await asyncio.sleep(0)
            monkeypatch.setattr(GenericKit, "aws_services", ("ec2",))
            box.make(config)
            await until(lambda: loaded)
            monkeypatch.setattr(GenericKit, "aws_services", ("elbv2", "ec2"))
            box.make(config)
            await until(lambda: len(loaded) > 1)
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
    assert loaded == [["ec2"], ["ec2", "elbv2"]]
