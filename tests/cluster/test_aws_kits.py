"""An Elastic IP, a DNS record and the answer to a load balancer follow the hierarchy, with real agents."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.aws_server import REGION
from tests.cluster.cluster import RESOURCE, Cluster
from tests.machines import cloud
from tests.machines.lab import HIERARCHY
from tests.machines.machine import CommandFailed

pytestmark = pytest.mark.cluster

NAME, HEALTH_PORT = "groupware.example.com", 8081
ADDRESSES = {"db-01": "10.0.3.4", "db-02": "10.0.6.4"}
OPERATOR = {
    "AWS_ENDPOINT_URL": cloud.URL,
    "AWS_ACCESS_KEY_ID": "AKIAOPERATOR",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": REGION,
}
MAKE = """
import boto3, json
allocation = boto3.client("ec2").allocate_address(Domain="vpc")["AllocationId"]
zone = boto3.client("route53").create_hosted_zone(Name="example.com", CallerReference="test")["HostedZone"]
print(json.dumps([allocation, zone["Id"].rpartition("/")[2]]))
"""
LOOK = """
import boto3, json, sys
(address,) = boto3.client("ec2").describe_addresses(AllocationIds=[sys.argv[1]])["Addresses"]
records = boto3.client("route53").list_resource_record_sets(HostedZoneId=sys.argv[2])["ResourceRecordSets"]
values = [each["Value"] for record in records if record["Type"] == "A" for each in record["ResourceRecords"]]
print(json.dumps([address.get("NetworkInterfaceId"), values]))
"""
GET = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
"""


def _python(cluster: Cluster, program: str, *arguments: str) -> Any:
    return json.loads(cluster.vpc.run(sys.executable, "-c", program, *arguments, env=OPERATOR))


def _healthy(cluster: Cluster, node: str) -> bool:
    try:
        return bool(_python(cluster, GET, f"http://{ADDRESSES[node]}:{HEALTH_PORT}/health") == 200)
    except CommandFailed:
        return False


def test_what_leads_to_the_active_node_follows_it(dark: Cluster) -> None:
    allocation, zone = _python(dark, MAKE)
    dark.configure(
        {
            f"{RESOURCE}.eip": {
                "kit": "elastic-ip",
                "allocation_id": allocation,
                "depends_on": ["cyss_cbgrn"],
            },
            f"{RESOURCE}.dns": {
                "kit": "route53",
                "hosted_zone_id": zone,
                "name": NAME,
                "depends_on": ["eip"],
            },
            f"{RESOURCE}.lb": {
                "kit": "lb-health",
                "port": HEALTH_PORT,
                "path": "/health",
                "depends_on": ["ip-vip"],
            },
        }
    )

    def leads_to(node: str) -> bool:
        eni = dark.world.node(node).interfaces[0].id
        return bool(_python(dark, LOOK, allocation, zone) == [eni, [ADDRESSES[node]]])

    dark.start()
    dark.begin_on("db-01")
    assert leads_to("db-01")
    assert _healthy(dark, "db-01")
    assert not _healthy(dark, "db-02")

    dark.wait_eligible("db-02")
    dark.power_off("db-01")
    dark.wait_in_service("db-02")
    assert leads_to("db-02")
    assert _healthy(dark, "db-02")

    dark.start("db-01")
    dark.wait_until(lambda: dark.hierarchy("db-02").nodes["db-01"].eligible, 60, "db-01 can take it")
    dark.kage("db-02", "in-service", HIERARCHY, "--node", "db-01")
    assert leads_to("db-01")
    assert _healthy(dark, "db-01")
    assert not _healthy(dark, "db-02")
