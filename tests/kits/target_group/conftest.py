from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from recovery_kits.target_group import kit
from tests.aws_server import AwsServer, World
from tests.kits.acting import Agent
from tests.kits.target_group.harness import PORT, Node


@pytest.fixture
def read_timeout_ms() -> int:
    """How long calls wait; a module may say otherwise."""
    return 1_000


@pytest.fixture
def agent(
    aws_server: AwsServer,
    agents: Callable[[int], Agent],
    read_timeout_ms: int,
    monkeypatch: pytest.MonkeyPatch,
) -> Agent:
    """The agent that all nodes of a test act through, out of patience soon."""
    monkeypatch.setattr(kit, "SETTLE_S", (0.0, 0.01, 0.02))
    return agents(read_timeout_ms)


@pytest.fixture
def groups(aws_server: AwsServer, world: World) -> tuple[str, ...]:
    """Two target groups of instances, behind a load balancer in both nodes' zones."""
    with closing(aws_server.elbv2()) as client:
        balancer = client.create_load_balancer(
            Name="groupware", Type="network", Subnets=[world.subnets["app-a"], world.subnets["app-c"]]
        )["LoadBalancers"][0]["LoadBalancerArn"]
        made = []
        for number, name in enumerate(("web", "api")):
            group = client.create_target_group(
                Name=name, Protocol="TCP", Port=PORT, VpcId=world.vpc_id, TargetType="instance"
            )["TargetGroups"][0]["TargetGroupArn"]
            client.create_listener(
                LoadBalancerArn=balancer,
                Protocol="TCP",
                Port=PORT + number,
                DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
            )
            made.append(group)
    aws_server.forget_calls()
    return tuple(made)


@pytest.fixture
def db_01(agent: Agent, world: World, groups: tuple[str, ...]) -> Node:
    """One node."""
    return Node(agent, world, groups, "db-01")


@pytest.fixture
def db_02(agent: Agent, world: World, groups: tuple[str, ...]) -> Node:
    """The other."""
    return Node(agent, world, groups, "db-02")
