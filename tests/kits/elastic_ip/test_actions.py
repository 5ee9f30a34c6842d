"""What the elastic-ip kit promises while AWS works."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from fnmatch import fnmatchcase
from ipaddress import IPv4Address
from typing import Any

import pytest

from agent.aws import AwsError, AwsFault, Machine
from agent.config.errors import BadParameter
from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.elastic_ip import ElasticIpKit, ElasticIpParameters
from tests.aws_server import Rule
from tests.kits.acting import Agent, Known
from tests.kits.elastic_ip.conftest import Scene

Run = Callable[[Any], Any]
ASSOCIATE, DESCRIBE = "ec2:AssociateAddress", "ec2:DescribeAddresses"
NO_ALLOCATION = "eipalloc-0123456789abcdef0"
NO_INTERFACE = "eni-0123456789abcdef0"


class NoMetadata(Known):
    """An AWS session of a machine that can't ask who it is."""

    async def identity(self) -> Machine:
        raise AwsError(AwsFault.NETWORK, "instance metadata", "TimedOut", "no answer")


def operations(scene: Scene) -> list[str]:
    return [call.operation for call in scene.server.control.journal()]


def second_address(scene: Scene, node: str, address: str) -> None:
    with closing(scene.server.ec2()) as client:
        client.assign_private_ip_addresses(
            NetworkInterfaceId=scene.interface(node), PrivateIpAddresses=[address]
        )


def test_restore_takes_the_address_and_again_is_success(db_02: ElasticIpKit, scene: Scene, run: Run) -> None:
    for _ in range(2):
        run(db_02.restore())
        assert scene.place() == (scene.interface("db-02"), "10.0.6.4")
        assert run(db_02.quick_check()).health is Health.OK


def test_restore_is_one_change_and_one_look(db_02: ElasticIpKit, scene: Scene, run: Run) -> None:
    run(db_02.restore())
    assert operations(scene) == [ASSOCIATE, DESCRIBE]


def test_an_address_that_is_associated_with_nothing_is_taken(
    db_02: ElasticIpKit, scene: Scene, run: Run
) -> None:
    with closing(scene.server.ec2()) as client:
        client.disassociate_address(PublicIp=scene.public)
    assert run(db_02.quick_check()).why == f"{scene.public} is associated with nothing"
    run(db_02.restore())
    assert scene.place() == (scene.interface("db-02"), "10.0.6.4")


def test_the_address_may_be_named_by_itself(scene: Scene, agent: Agent, run: Run) -> None:
    kit = scene.kit(agent, "db-02", allocation_id=None, public_ip=IPv4Address(scene.public))
    run(kit.restore())
    assert operations(scene) == [DESCRIBE, ASSOCIATE, DESCRIBE]
    assert scene.place() == (scene.interface("db-02"), "10.0.6.4")
    assert run(kit.quick_check()).health is Health.OK


def test_it_leads_to_the_private_address_that_is_named(scene: Scene, agent: Agent, run: Run) -> None:
    second_address(scene, "db-01", "10.0.3.60")
    kit = scene.kit(agent, "db-01", private_address=IPv4Address("10.0.3.60"))
    check = run(kit.quick_check())
    assert check.health is Health.FAILED
    assert check.why.endswith(f"is on 10.0.3.4 of {scene.interface('db-01')}, not on 10.0.3.60")
    for _ in range(2):
        run(kit.restore())
        assert scene.place() == (scene.interface("db-01"), "10.0.3.60")
        assert run(kit.quick_check()).health is Health.OK


def test_remove_calls_nothing_and_leaves_the_address(db_01: ElasticIpKit, scene: Scene, run: Run) -> None:
    for _ in range(2):
        run(db_01.remove())
    assert operations(scene) == []
    assert scene.place() == (scene.interface("db-01"), "10.0.3.4")


def test_a_check_says_who_has_the_address_and_recover_takes_it_back(
    db_01: ElasticIpKit, db_02: ElasticIpKit, scene: Scene, run: Run
) -> None:
    run(db_02.restore())
    check = run(db_01.quick_check())
    assert check.health is Health.FAILED
    assert check.why == f"{scene.public} is on {scene.interface('db-02')}"
    for _ in range(2):
        run(db_01.recover())
        assert scene.place() == (scene.interface("db-01"), "10.0.3.4")


def test_a_check_is_one_call_every_30_s(db_01: ElasticIpKit, scene: Scene, run: Run) -> None:
    for _ in range(2):
        assert run(db_01.quick_check()).health is Health.OK
    assert operations(scene) == [DESCRIBE] * 2
    assert ElasticIpKit.default_check_interval_ms == 30_000


@pytest.mark.parametrize(
    "name", [{"allocation_id": NO_ALLOCATION}, {"allocation_id": None, "public_ip": IPv4Address("192.0.2.1")}]
)
def test_an_address_that_is_not_there_is_a_failure(
    scene: Scene, agent: Agent, run: Run, name: dict[str, Any]
) -> None:
    kit = scene.kit(agent, "db-02", **name)
    with pytest.raises(KitError, match="eip-app: restore: ") as caught:
        run(kit.restore())
    assert not isinstance(caught.value, Unanswered)
    check = run(kit.quick_check())
    assert check.health is Health.FAILED
    assert "is no Elastic IP of this account in this region" in check.why
    (finding,) = run(kit.validate())
    assert finding.remedy == "`aws ec2 describe-addresses` lists those there are"


def test_an_interface_that_is_not_there_is_a_failure_and_moves_nothing(
    scene: Scene, agent: Agent, run: Run
) -> None:
    kit = scene.kit(agent, "db-02", interface=NO_INTERFACE)
    with pytest.raises(KitError, match=r"InvalidNetworkInterfaceID\.NotFound") as caught:
        run(kit.restore())
    assert not isinstance(caught.value, Unanswered)
    assert scene.place() == (scene.interface("db-01"), "10.0.3.4")
    (finding,) = run(kit.validate())
    assert finding.problem == f"{NO_INTERFACE} doesn't exist in this region"


def test_an_interface_of_another_node_or_of_none_is_found(scene: Scene, agent: Agent, run: Run) -> None:
    """Named once for all nodes, so that a takeover would change nothing and yet succeed."""
    first, second = scene.world.node("db-01"), scene.world.node("db-02")
    kit = scene.kit(agent, "db-02", interface=first.interfaces[0].id)
    (finding,) = run(kit.validate())
    here = f"but this node is {second.instance_id}"
    assert finding.problem == f"{first.interfaces[0].id} is at {first.instance_id}, {here}"
    assert "`node.NAME.interface`" in finding.remedy
    with closing(scene.server.ec2()) as client:
        made = client.create_network_interface(SubnetId=scene.world.subnets["db-02-0"])
    loose = made["NetworkInterface"]["NetworkInterfaceId"]
    (finding,) = run(scene.kit(agent, "db-02", interface=loose).validate())
    assert finding.problem == f"{loose} is at no instance, {here}"


def test_without_metadata_whatever_else_there_is_is_found(scene: Scene, agent: Agent, run: Run) -> None:
    kit = scene.kit(agent, "db-02", private_address=IPv4Address("10.0.6.77"))
    kit.tools = replace(kit.tools, aws=NoMetadata(agent.aws, scene.machine("db-02")))
    unknown, lacking = run(kit.validate())
    assert (unknown.certain, lacking.certain) == (False, True)
    assert unknown.problem.startswith("instance metadata: ")
    assert lacking.problem.startswith("10.0.6.77 is no address of")


def test_a_device_that_is_not_there_is_found(scene: Scene, agent: Agent, run: Run) -> None:
    (finding,) = run(scene.kit(agent, "db-02", interface=None, device="eth9").validate())
    assert (finding.certain, finding.remedy) == (True, "correct what this names")
    assert "there is no device eth9" in finding.problem


def test_nothing_is_found_where_all_is_well_and_nothing_is_changed(
    db_01: ElasticIpKit, db_02: ElasticIpKit, scene: Scene, run: Run
) -> None:
    """Another node's having it is no problem: it has it until this one is asked to take over."""
    assert run(db_01.validate()) == run(db_02.validate()) == []
    assert scene.place() == (scene.interface("db-01"), "10.0.3.4")


def test_any_node_may_look_whether_it_is_permitted(scene: Scene, agent: Agent, run: Run) -> None:
    class Never:
        def ms_left(self) -> int:
            return 0

    kit = scene.kit(agent, "db-02", Never())
    assert run(kit.validate()) == []
    denied = Rule(operation=ASSOCIATE, fault="error", status=403, code="UnauthorizedOperation")
    scene.server.control.set_faults(denied)
    (finding,) = run(kit.validate())
    assert finding.remedy == "give the node's role ec2:AssociateAddress"


def test_a_private_address_that_the_interface_lacks_is_found(scene: Scene, agent: Agent, run: Run) -> None:
    kit = scene.kit(agent, "db-02", private_address=IPv4Address("10.0.6.77"))
    (finding,) = run(kit.validate())
    interface = scene.interface("db-02")
    assert finding.problem == f"10.0.6.77 is no address of {interface}, which has 10.0.6.4"
    assert finding.remedy.endswith(
        f"assign-private-ip-addresses --network-interface-id {interface} --private-ip-addresses 10.0.6.77"
    )
    with pytest.raises(KitError, match="doesn't have the private address"):
        run(kit.restore())


def test_another_elastic_ip_that_would_be_driven_out_is_found(
    db_02: ElasticIpKit, scene: Scene, agent: Agent, run: Run
) -> None:
    with closing(scene.server.ec2()) as client:
        other = client.allocate_address(Domain="vpc")
        made = client.associate_address(
            AllocationId=other["AllocationId"], NetworkInterfaceId=scene.interface("db-02")
        )
    (finding,) = run(db_02.validate())
    assert f"{other['PublicIp']} ({other['AllocationId']})" in finding.problem
    assert finding.remedy.endswith(f"disassociate-address --association-id {made['AssociationId']}")
    second_address(scene, "db-02", "10.0.6.60")
    beside = scene.kit(agent, "db-02", private_address=IPv4Address("10.0.6.60"))
    assert run(beside.validate()) == []


def test_a_vpc_without_an_internet_gateway_is_found(db_02: ElasticIpKit, scene: Scene, run: Run) -> None:
    with closing(scene.server.ec2()) as client:
        (gateway,) = client.describe_internet_gateways()["InternetGateways"]
        client.detach_internet_gateway(
            InternetGatewayId=gateway["InternetGatewayId"], VpcId=scene.world.vpc_id
        )
    (finding,) = run(db_02.validate())
    assert finding.problem.startswith(f"{scene.world.vpc_id} has no internet gateway")


def test_an_address_from_before_vpcs_is_found(scene: Scene, agent: Agent, run: Run) -> None:
    with closing(scene.server.ec2()) as client:
        old = client.allocate_address(Domain="standard")["PublicIp"]
    (finding,) = run(scene.kit(agent, "db-02", allocation_id=None, public_ip=IPv4Address(old)).validate())
    assert "standard" in finding.problem


@pytest.mark.parametrize("by_itself", [False, True])
def test_what_it_calls_is_what_its_permissions_name(
    scene: Scene, agent: Agent, run: Run, by_itself: bool
) -> None:
    name: dict[str, Any] = (
        {"allocation_id": None, "public_ip": IPv4Address(scene.public)} if by_itself else {}
    )
    kit = scene.kit(agent, "db-02", **name)
    for action in (kit.validate, kit.restore, kit.quick_check, kit.recover, kit.reassert, kit.remove):
        run(action())
    permitted = {each for one in ElasticIpKit.permissions(kit.parameters) for each in one.actions}
    assert set(operations(scene)) == permitted


def test_permissions_are_for_this_address_and_this_interface_only() -> None:
    arn = "arn:{partition}:ec2:{region}:{account}:"
    named = ElasticIpParameters(allocation_id=NO_ALLOCATION, interface=NO_INTERFACE)
    address, interface, _ = ElasticIpKit.permissions(named)
    assert address.resources == (f"{arn}elastic-ip/{NO_ALLOCATION}",)
    assert interface.resources == (f"{arn}network-interface/{NO_INTERFACE}",)
    address, interface, _ = ElasticIpKit.permissions(ElasticIpParameters(public_ip=IPv4Address("192.0.2.1")))
    assert address.resources == (f"{arn}elastic-ip/*",)
    assert address.conditions == {"StringEquals": {"ec2:PublicIpAddress": "192.0.2.1"}}
    assert fnmatchcase(f"{arn}network-interface/{NO_INTERFACE}", interface.resources[0])


def test_exactly_one_name_of_the_address_is_wanted() -> None:
    with pytest.raises(BadParameter, match="allocation_id: missing"):
        ElasticIpParameters()
    with pytest.raises(BadParameter, match="public_ip: leave it out"):
        ElasticIpParameters(allocation_id=NO_ALLOCATION, public_ip=IPv4Address("192.0.2.1"))
