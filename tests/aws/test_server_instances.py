"""What the test server says of instances and their ENIs, as AWS does; Terraform plans by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.aws_server import REGION, AwsServer
from tests.aws_server.world import IMAGE

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceNetworkInterfaceSpecificationTypeDef


@pytest.fixture
def ec2(aws_server: AwsServer) -> Iterator[EC2Client]:
    with closing(aws_server.ec2()) as client:
        yield client


@pytest.fixture
def subnet(ec2: EC2Client) -> str:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", AvailabilityZone=f"{REGION}a")
    return made["Subnet"]["SubnetId"]


def group_of(ec2: EC2Client, subnet: str, name: str) -> str:
    (found,) = ec2.describe_subnets(SubnetIds=[subnet])["Subnets"]
    return ec2.create_security_group(GroupName=name, Description=name, VpcId=found["VpcId"])["GroupId"]


def run(ec2: EC2Client, *interfaces: InstanceNetworkInterfaceSpecificationTypeDef) -> str:
    made = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t3.medium",
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[{"DeviceIndex": index, **each} for index, each in enumerate(interfaces)],
    )
    return made["Instances"][0]["InstanceId"]


def test_an_instance_s_groups_and_checks_are_those_of_its_first_interface(
    ec2: EC2Client, subnet: str
) -> None:
    one, two, three = (group_of(ec2, subnet, name) for name in ("one", "two", "three"))
    instance = run(ec2, {"SubnetId": subnet, "Groups": [one]})
    second = ec2.create_network_interface(SubnetId=subnet, Groups=[two])["NetworkInterface"]
    ec2.attach_network_interface(
        NetworkInterfaceId=second["NetworkInterfaceId"], InstanceId=instance, DeviceIndex=1
    )

    def told() -> tuple[object, ...]:
        (found,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
        told = [found["SecurityGroups"], *(each["Groups"] for each in found["NetworkInterfaces"])]
        return *([each["GroupId"] for each in groups] for groups in told), found["SourceDestCheck"]

    assert told() == ([one], [one], [two], True)
    ec2.modify_instance_attribute(InstanceId=instance, Groups=[three])
    ec2.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": False})
    assert told() == ([three], [three], [two], False)


def test_what_was_made_with_an_instance_goes_with_it_and_nothing_else(ec2: EC2Client, subnet: str) -> None:
    instance = run(ec2, {"SubnetId": subnet, "Groups": [group_of(ec2, subnet, "one")]})
    second = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=second, InstanceId=instance, DeviceIndex=1)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
    assert len(ec2.describe_network_interfaces()["NetworkInterfaces"]) == 3
    ec2.terminate_instances(InstanceIds=[instance])
    ec2.delete_nat_gateway(NatGatewayId=gateway)
    (left,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert left["NetworkInterfaceId"] == second


def test_interfaces_that_an_instance_was_given_are_free_when_it_is_gone(ec2: EC2Client, subnet: str) -> None:
    given = [ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"] for _ in range(2)]
    one, two = (each["NetworkInterfaceId"] for each in given)
    instance = run(ec2, {"NetworkInterfaceId": one}, {"NetworkInterfaceId": two})
    ec2.terminate_instances(InstanceIds=[instance])
    left = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert len(left) == len(given)
    for each in left:
        assert each["Status"] == "available"
        assert "Attachment" not in each
    (told,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
    assert told["State"]["Name"] == "terminated"
