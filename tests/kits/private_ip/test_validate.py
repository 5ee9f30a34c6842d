"""What the private-ip kit finds in advance."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from ipaddress import IPv4Address
from typing import Any

import pytest

from recovery_kits.private_ip import PrivateIpKit
from tests.aws_server import Rule, throttle
from tests.kits.acting import Agent
from tests.kits.private_ip.conftest import ADDRESS, Scene

Run = Callable[[Any], Any]
BOTH_ZONES: dict[str, tuple[str, ...]] = {"db-01": ("10.0.3.4",), "db-02": ("10.0.6.4", "10.0.14.4")}


def test_nothing_is_found_where_all_is_well_and_nothing_is_changed(
    db_01: PrivateIpKit, db_03: PrivateIpKit, scene: Scene, run: Run
) -> None:
    assert run(db_01.validate()) == run(db_03.validate()) == []
    assert scene.holders() == [scene.interfaces["db-01"]]


def test_a_node_in_another_subnet_finds_that_it_can_not_have_the_address(
    scene: Scene, agent: Agent, run: Run
) -> None:
    first, *_ = run(scene.kit(agent, "db-02", peers=BOTH_ZONES).validate())
    subnet = f"{scene.world.subnets['db-02-0']} (10.0.6.0/24, ap-northeast-1c)"
    assert first.problem.startswith(f"{ADDRESS} isn't of {subnet}")
    assert "use the kit route" in first.remedy


def test_a_node_of_the_right_subnet_finds_that_another_is_in_another_zone(
    scene: Scene, agent: Agent, run: Run
) -> None:
    (finding,) = run(scene.kit(agent, "db-01", peers=BOTH_ZONES).validate())
    assert finding.problem == (f"db-02 is in ap-northeast-1c, but the subnet of {ADDRESS} in ap-northeast-1a")
    assert "use the kit route" in finding.remedy


@pytest.mark.parametrize("address", ["10.0.3.0", "10.0.3.1", "10.0.3.3", "10.0.3.255"])
def test_an_address_that_aws_keeps_for_itself_is_found(
    scene: Scene, agent: Agent, run: Run, address: str
) -> None:
    (finding,) = run(scene.kit(agent, "db-01", address=IPv4Address(address)).validate())
    assert finding.problem.startswith(f"{address} is one of those that AWS keeps for itself")


def test_the_primary_address_of_an_interface_is_found(scene: Scene, agent: Agent, run: Run) -> None:
    for node in ("db-01", "db-03"):
        (finding,) = run(scene.kit(agent, node, address=IPv4Address("10.0.3.5")).validate())
        assert finding.problem == (
            f"10.0.3.5 is the primary address of {scene.interfaces['db-03']}, which never moves"
        )


def test_an_interface_of_another_node_is_found(scene: Scene, agent: Agent, run: Run) -> None:
    first = scene.interfaces["db-01"]
    (finding,) = run(scene.kit(agent, "db-03", interface=first).validate())
    holder, own = scene.instances["db-01"], scene.instances["db-03"]
    assert finding.problem == f"{first} is at {holder}, but this node is {own}"


def test_an_address_that_a_stranger_has_is_found(db_01: PrivateIpKit, scene: Scene, run: Run) -> None:
    with closing(scene.server.ec2()) as client:
        made = client.create_network_interface(SubnetId=scene.world.subnets["db-01-0"])
        stranger = made["NetworkInterface"]["NetworkInterfaceId"]
        client.assign_private_ip_addresses(
            NetworkInterfaceId=stranger, PrivateIpAddresses=[ADDRESS], AllowReassignment=True
        )
    (finding,) = run(db_01.validate())
    assert finding.problem == f"{ADDRESS} is at {stranger} of no instance, no node of this hierarchy"
    assert f"unassign-private-ip-addresses --network-interface-id {stranger}" in finding.remedy


def test_nobody_is_called_a_stranger_while_a_node_is_not_found(scene: Scene, agent: Agent, run: Run) -> None:
    """It may be that very node, whose comm paths run over other addresses."""
    peers: dict[str, tuple[str, ...]] = {"db-03": ("10.0.3.5",), "db-04": ("192.168.0.4",)}
    assert run(scene.kit(agent, "db-03", peers=peers).validate()) == []


def test_an_interface_without_room_for_another_address_is_found(
    db_03: PrivateIpKit, scene: Scene, run: Run
) -> None:
    """A t3.medium has six at each ENI, the primary one among them."""
    more = [f"10.0.3.{host}" for host in range(60, 65)]
    with closing(scene.server.ec2()) as client:
        client.assign_private_ip_addresses(
            NetworkInterfaceId=scene.interfaces["db-03"], PrivateIpAddresses=more[:4]
        )
        assert run(db_03.validate()) == []
        client.assign_private_ip_addresses(
            NetworkInterfaceId=scene.interfaces["db-03"], PrivateIpAddresses=more[4:]
        )
    (finding,) = run(db_03.validate())
    assert finding.problem == (
        f"{scene.interfaces['db-03']} has 6 addresses, and a t3.medium can have no more at one ENI"
    )


def test_an_interface_that_is_not_there_is_found(scene: Scene, agent: Agent, run: Run) -> None:
    (finding,) = run(scene.kit(agent, "db-03", interface="eni-0123456789abcdef0").validate())
    assert finding.problem == "eni-0123456789abcdef0 doesn't exist in this region"


def test_what_validate_is_not_told_is_a_finding(db_03: PrivateIpKit, scene: Scene, run: Run) -> None:
    for name in ("DescribeNetworkInterfaces", "DescribeSubnets", "DescribeInstances"):
        scene.server.control.set_faults(
            Rule(operation=f"ec2:{name}", fault="error", status=403, code="UnauthorizedOperation")
        )
        (finding,) = run(db_03.validate())
        assert finding.remedy == f"give the node's role ec2:{name}"
    scene.server.control.set_faults(throttle())
    (finding,) = run(db_03.validate())
    assert finding.remedy == "try again when AWS answers"
