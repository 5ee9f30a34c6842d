"""What `kage check` finds about target groups before it matters."""

from __future__ import annotations

from contextlib import closing
from ipaddress import ip_address

from tests.aws_server import AwsServer, Rule, World
from tests.kits.target_group.harness import ELB, PORT, Node
from tests.kits.target_group.test_actions import NO_GROUP


def make_group(server: AwsServer, vpc: str, kind: str = "instance") -> str:
    with closing(server.elbv2()) as client:
        made = client.create_target_group(
            Name="alone",
            Protocol="TCP",
            Port=PORT,
            VpcId=vpc,
            TargetType=kind,  # type: ignore[arg-type]
        )
    return made["TargetGroups"][0]["TargetGroupArn"]


def test_nothing_is_found_where_all_is_well(db_01: Node, db_02: Node) -> None:
    assert list(db_01.validate()) == []
    assert list(db_02.validate()) == []


def test_a_missing_group_and_a_missing_instance_are_found(db_01: Node) -> None:
    missing = "i-0123456789abcdef0"
    findings = db_01.validate(target_groups=(NO_GROUP, *db_01.groups), instances=(*db_01.instances, missing))
    assert [each.problem for each in findings] == [
        f"target group {NO_GROUP} doesn't exist",
        f"{missing} doesn't exist in this region",
    ]


def test_a_group_that_no_load_balancer_uses_is_found(
    db_01: Node, aws_server: AwsServer, world: World
) -> None:
    (finding,) = db_01.validate(target_groups=(make_group(aws_server, world.vpc_id),))
    assert (finding.problem, finding.remedy) == ("no load balancer uses alone", "forward a listener to it")


def test_a_load_balancer_that_does_not_reach_this_zone_is_found(
    db_01: Node, db_02: Node, aws_server: AwsServer, world: World
) -> None:
    """A failover into that zone would come to nothing."""
    group = make_group(aws_server, world.vpc_id)
    with closing(aws_server.elbv2()) as client:
        balancer = client.create_load_balancer(
            Name="one-zone", Type="network", Subnets=[world.subnets["app-a"]]
        )["LoadBalancers"][0]["LoadBalancerArn"]
        forward = {"Type": "forward", "TargetGroupArn": group}
        client.create_listener(
            LoadBalancerArn=balancer,
            Protocol="TCP",
            Port=PORT,
            DefaultActions=[forward],  # type: ignore[list-item]
        )
    assert list(db_01.validate(target_groups=(group,))) == []
    (finding,) = db_02.validate(target_groups=(group,))
    assert finding.problem == "one-zone isn't enabled in ap-northeast-1c: it sends this node nothing"
    assert f"--load-balancer-arn {balancer}" in finding.remedy


def test_another_target_type_is_found(db_01: Node, aws_server: AwsServer, world: World) -> None:
    findings = db_01.validate(target_groups=(make_group(aws_server, world.vpc_id, "ip"),))
    assert findings[0].problem == "alone's target type is ip, not instance"
    assert findings[0].remedy == "name the nodes in `addresses`"
    here = (ip_address("127.0.0.1"), ip_address("192.0.2.7"))
    findings = db_01.validate(instances=(), addresses=here)
    assert [each.problem for each in findings] == [
        f"{name}'s target type is instance, not ip" for name in ("web", "api")
    ]


def test_a_group_of_another_vpc_is_found(db_01: Node, aws_server: AwsServer) -> None:
    with closing(aws_server.ec2()) as client:
        vpc = client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    findings = db_01.validate(target_groups=(make_group(aws_server, vpc),))
    assert sum(vpc in each.problem for each in findings) == len(db_01.instances)


def test_a_missing_permission_is_found_by_the_name_that_iam_has_for_it(
    db_01: Node, aws_server: AwsServer
) -> None:
    aws_server.control.set_faults(Rule(fault="error", status=403, code="AccessDenied"))
    (finding,) = db_01.validate()
    assert finding.remedy == f"give the node's role {ELB}:DescribeTargetGroups"


def test_what_aws_refuses_for_another_reason_is_found_as_certain(db_01: Node, aws_server: AwsServer) -> None:
    """A group of another region, for one; trying again when AWS answers would help nobody."""
    aws_server.control.set_faults(Rule(fault="error", status=400, code="ValidationError"))
    (finding,) = db_01.validate()
    assert finding.certain
    assert finding.remedy == "correct what this names"
