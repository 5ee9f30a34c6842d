"""What the private-ip kit promises while AWS works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv4Address
from typing import Any

import pytest

from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.private_ip import PrivateIpKit, PrivateIpParameters
from tests.kits.acting import Agent
from tests.kits.private_ip.conftest import ADDRESS, Scene

Run = Callable[[Any], Any]
ASSIGN, DESCRIBE = "ec2:AssignPrivateIpAddresses", "ec2:DescribeNetworkInterfaces"
NO_INTERFACE = "eni-0123456789abcdef0"


def operations(scene: Scene) -> list[str]:
    return [call.operation for call in scene.server.control.journal()]


def test_restore_takes_the_address_and_again_is_success(db_03: PrivateIpKit, scene: Scene, run: Run) -> None:
    for _ in range(2):
        run(db_03.restore())
        assert scene.holders() == [scene.interfaces["db-03"]]
        assert run(db_03.quick_check()).health is Health.OK


def test_restore_is_one_change_and_one_look(db_03: PrivateIpKit, scene: Scene, run: Run) -> None:
    run(db_03.restore())
    assert operations(scene) == [ASSIGN, DESCRIBE]


def test_an_address_that_no_interface_has_is_taken(scene: Scene, agent: Agent, run: Run) -> None:
    kit = scene.kit(agent, "db-03", address=IPv4Address("10.0.3.51"))
    check = run(kit.quick_check())
    assert check.health is Health.FAILED
    assert check.why == f"10.0.3.51 is at no ENI, not at {scene.interfaces['db-03']}"
    run(kit.restore())
    assert scene.holders("10.0.3.51") == [scene.interfaces["db-03"]]


def test_remove_calls_nothing_and_leaves_the_address(db_01: PrivateIpKit, scene: Scene, run: Run) -> None:
    for _ in range(2):
        run(db_01.remove())
    assert operations(scene) == []
    assert scene.holders() == [scene.interfaces["db-01"]]


def test_a_check_says_who_has_the_address_and_recover_takes_it_back(
    db_01: PrivateIpKit, db_03: PrivateIpKit, scene: Scene, run: Run
) -> None:
    run(db_03.restore())
    check = run(db_01.quick_check())
    assert check.health is Health.FAILED
    there = f"{scene.interfaces['db-03']} of {scene.world.vpc_id}"
    assert check.why == f"{ADDRESS} is at {there}, not at {scene.interfaces['db-01']}"
    for _ in range(2):
        run(db_01.recover())
        assert scene.holders() == [scene.interfaces["db-01"]]


def test_a_check_is_one_call_every_30_s(db_01: PrivateIpKit, scene: Scene, run: Run) -> None:
    for _ in range(2):
        assert run(db_01.quick_check()).health is Health.OK
    assert operations(scene) == [DESCRIBE] * 2
    assert PrivateIpKit.default_check_interval_ms == 30_000


def test_the_same_address_in_another_vpc_is_another_address(
    db_01: PrivateIpKit, scene: Scene, run: Run
) -> None:
    with closing(scene.server.ec2()) as client:
        vpc = client.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = client.create_subnet(VpcId=vpc, CidrBlock="10.0.3.0/24")["Subnet"]["SubnetId"]
        client.create_network_interface(SubnetId=subnet, PrivateIpAddress=ADDRESS)
    assert run(db_01.quick_check()).health is Health.OK
    assert run(db_01.validate()) == []


def test_in_another_subnet_the_address_is_refused_and_stays(scene: Scene, agent: Agent, run: Run) -> None:
    with pytest.raises(KitError, match="does not fall within the subnet's address range") as caught:
        run(scene.kit(agent, "db-02").restore())
    assert not isinstance(caught.value, Unanswered)
    assert scene.holders() == [scene.interfaces["db-01"]]


def test_an_interface_that_is_not_there_is_a_failure_and_moves_nothing(
    scene: Scene, agent: Agent, run: Run
) -> None:
    kit = scene.kit(agent, "db-03", interface=NO_INTERFACE)
    with pytest.raises(KitError, match=r"InvalidNetworkInterfaceID\.NotFound") as caught:
        run(kit.restore())
    assert not isinstance(caught.value, Unanswered)
    assert scene.holders() == [scene.interfaces["db-01"]]


def test_what_it_calls_is_what_its_permissions_name(scene: Scene, agent: Agent, run: Run) -> None:
    kit = scene.kit(agent, "db-03")
    for action in (kit.validate, kit.restore, kit.quick_check, kit.recover, kit.reassert, kit.remove):
        run(action())
    permitted = {each for one in PrivateIpKit.permissions(kit.parameters) for each in one.actions}
    assert set(operations(scene)) == permitted


def test_permissions_are_for_this_interface_only_where_it_is_named() -> None:
    arn = "arn:{partition}:ec2:{region}:{account}:network-interface/"
    address = IPv4Address(ADDRESS)
    named, _ = PrivateIpKit.permissions(PrivateIpParameters(address=address, interface=NO_INTERFACE))
    assert named.resources == (arn + NO_INTERFACE,)
    any_of_them, _ = PrivateIpKit.permissions(PrivateIpParameters(address=address))
    assert any_of_them.resources == (arn + "*",)
