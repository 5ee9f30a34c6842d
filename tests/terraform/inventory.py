"""Prints everything there is in AWS, of each kind that the lab makes: kind -> ids."""

import json
from typing import Any

import boto3

LISTED = [  # service, operation, the answer's list, what names each of them
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
    ("dynamodb", "list_tables", "TableNames", None),
    ("ec2", "describe_addresses", "Addresses", "AllocationId"),
    ("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("ec2", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    ("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    ("ec2", "describe_transit_gateways", "TransitGateways", "TransitGatewayId"),
    ("ec2", "describe_volumes", "Volumes", "VolumeId"),
    ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    ("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerArn"),
    ("elbv2", "describe_target_groups", "TargetGroups", "TargetGroupArn"),
    ("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("route53", "list_hosted_zones", "HostedZones", "Id"),
    ("s3", "list_buckets", "Buckets", "Name"),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("ssm", "describe_parameters", "Parameters", "Name"),
]
# What AWS still tells of for a while after it is gone.
GONE = {"terminated", "deleted"}


def main() -> None:
    """Ask for each kind."""
    client: Any = boto3.client  # the services' stubs aren't all installed
    found = {}
    for service, operation, answer, name in LISTED:
        listed = getattr(client(service), operation)()[answer]
        found[f"{service} {answer}"] = sorted(each if name is None else each[name] for each in listed)
    ec2 = boto3.client("ec2")
    found["ec2 NatGateways"] = [
        each["NatGatewayId"]
        for each in ec2.describe_nat_gateways()["NatGateways"]
        if each["State"] not in GONE
    ]
    found["ec2 Endpoints"] = [
        each["VpcEndpointId"]
        for each in ec2.describe_vpc_endpoints()["VpcEndpoints"]
        if each["State"] not in GONE
    ]
    found["ec2 Instances"] = [
        each["InstanceId"]
        for reservation in ec2.describe_instances()["Reservations"]
        for each in reservation["Instances"]
        if each["State"]["Name"] not in GONE
    ]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
