"""AWS throttles, can't be reached, or somebody else changes what is the cluster's."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.aws_server import REGION, Rule, throttle
from tests.cluster.cluster import WITHIN_S, Cluster, now_ms
from tests.machines import cloud
from tests.machines.lab import HIERARCHY, NODES

pytestmark = pytest.mark.cluster

MOVES = ("failover-begun", "move-begun", "ownership-sought", "ownership-lost")
CHANGES = ("ec2:ReplaceRoute", "ec2:CreateRoute")
STEAL = """
import boto3, sys
boto3.client("ec2").replace_route(
    RouteTableId=sys.argv[1], DestinationCidrBlock=sys.argv[2], NetworkInterfaceId=sys.argv[3]
)
"""


def _throttle(cluster: Cluster) -> None:
    cluster.cloud.set_faults(throttle("ec2:*"))


def _hang(cluster: Cluster) -> None:
    cluster.cloud.set_faults(Rule(operation="ec2:*", key="AKIADB-01", fault="hang"))


def _cut_off(cluster: Cluster) -> None:
    """As a security group, or a NAT gateway that is gone, does it: packets are lost."""
    chain = f"type filter hook output priority 0\nip daddr {cloud.ADDRESS} drop"
    cluster.machines["db-01"].run("nft", f"table ip aws {{ chain out {{ {chain}\n}}\n}}")


def _end(cluster: Cluster) -> None:
    cluster.cloud.set_faults()
    cluster.machines["db-01"].run("nft", "add table ip aws; delete table ip aws")


@pytest.mark.parametrize("fault", [_throttle, _hang, _cut_off])
def test_an_aws_that_gives_no_answer_is_an_alarm_and_moves_nothing(
    cluster: Cluster, fault: Callable[[Cluster], None]
) -> None:
    mark = now_ms()
    fault(cluster)
    alarm = cluster.wait_for(mark, "db-01", "resource-unknown", tag="route-vip")
    assert alarm.severity == "alarm"
    cluster.wait_checked("db-01")
    assert cluster.state("route-vip", "db-01") == "ISU"
    assert not [event for node in NODES for event in cluster.since(mark, node, *MOVES, "resource-failed")]

    _end(cluster)
    cluster.wait_for(mark, "db-01", "resource-recovered", tag="route-vip")
    cluster.wait_until(lambda: cluster.state("route-vip", "db-01") == "ISP", WITHIN_S, "the route is checked")
    changed_by = {call.key for call in cluster.cloud.journal() if call.operation in CHANGES}
    assert changed_by <= {"AKIADB-01"}, "the owner says anew what is so"
    assert cluster.routes_lead_to("db-01")


def test_without_aws_everything_is_removed_and_the_route_follows_when_aws_returns(cluster: Cluster) -> None:
    _throttle(cluster)
    mark = now_ms()
    cluster.kage("db-01", "in-service", HIERARCHY, "--node", "db-02", "--no-wait")
    cluster.wait_down("db-01")
    assert not cluster.holds_address("db-01")
    cluster.wait_for(mark, "db-02", "resource-unknown", tag="route-vip")
    assert cluster.routes_lead_to("db-01"), "nobody could move it"
    assert cluster.state("cyss_cbgrn", "db-02") == "ISP"
    assert not cluster.since(mark, "db-02", "resource-failed", "failover-begun")

    cluster.cloud.set_faults()
    cluster.wait_in_service("db-02")
    assert cluster.routes_lead_to("db-02")


def test_a_stolen_route_is_seen_and_put_back(cluster: Cluster) -> None:
    mark, world = now_ms(), cluster.world
    thief = {
        "AWS_ENDPOINT_URL": cloud.URL,
        "AWS_ACCESS_KEY_ID": "AKIATHIEF",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": REGION,
    }
    stolen = (world.route_tables[1], world.destination, world.node("db-02").interfaces[0].id)
    cluster.vpc.run(sys.executable, "-c", STEAL, *stolen, env=thief)
    seen = cluster.wait_for(mark, "db-01", "resource-failed", tag="route-vip")
    assert world.route_tables[1] in seen.text
    assert world.route_tables[0] not in seen.text
    cluster.wait_for(mark, "db-01", "resource-recovered", tag="route-vip")
    assert cluster.routes_lead_to("db-01")
    assert not [event for node in NODES for event in cluster.since(mark, node, *MOVES)]
