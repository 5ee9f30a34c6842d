"""What the test server says of private DNS zones, as AWS does; Terraform plans by it."""

from __future__ import annotations

from contextlib import closing

import boto3

from tests.aws_server import REGION, AwsServer, World


def test_a_zone_made_within_a_vpc_is_private_and_names_it(aws_server: AwsServer, world: World) -> None:
    vpc = {"VPCId": world.vpc_id, "VPCRegion": REGION}
    with closing(boto3.client("route53", region_name=REGION)) as route53:
        made = route53.create_hosted_zone(Name="groupware.internal", CallerReference="1", VPC=vpc)  # type: ignore[arg-type]
        found = route53.get_hosted_zone(Id=made["HostedZone"]["Id"])
        assert found["HostedZone"]["Config"]["PrivateZone"]
        assert found["VPCs"] == [vpc]
        public = route53.create_hosted_zone(Name="example.com", CallerReference="2")["HostedZone"]
        assert "VPCs" not in route53.get_hosted_zone(Id=public["Id"])
