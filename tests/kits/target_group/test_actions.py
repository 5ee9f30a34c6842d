"""What the target-group kit promises while AWS works."""

from __future__ import annotations

from contextlib import closing
from ipaddress import ip_address
from typing import Any

import pytest

from agent.aws import AwsError, AwsFault
from agent.config.errors import BadParameter
from agent.core.states import Health
from recovery_kits.contract import KitError, Unanswered
from recovery_kits.target_group import TargetGroupKit, TargetGroupParameters
from tests.aws_server import AwsServer, World
from tests.aws_server.world import IMAGE
from tests.kits.target_group.harness import ELB, PORT, Node, register, registered

REGISTER, DEREGISTER = f"{ELB}:RegisterTargets", f"{ELB}:DeregisterTargets"
DESCRIBE = f"{ELB}:DescribeTargetHealth"
NO_GROUP = "arn:aws:elasticloadbalancing:ap-northeast-1:123456789012:targetgroup/none/0123456789abcdef"


def operations(server: AwsServer) -> list[str]:
    return [call.operation for call in server.control.journal()]


def test_restore_registers_this_node_and_again_is_success(db_01: Node, aws_server: AwsServer) -> None:
    assert db_01.check().health is Health.FAILED
    for _ in range(2):
        db_01.restore()
        assert registered(aws_server, db_01.groups) == [[db_01.instance]] * 2
        assert db_01.check().health is Health.OK


def test_a_takeover_leaves_the_new_owner_alone(db_01: Node, db_02: Node, aws_server: AwsServer) -> None:
    db_01.restore()
    db_02.restore()
    assert registered(aws_server, db_01.groups) == [[db_02.instance]] * 2
    assert db_02.check().health is Health.OK
    assert db_01.check().health is Health.FAILED


def test_a_foreign_target_is_left_alone(
    db_01: Node, db_02: Node, aws_server: AwsServer, world: World
) -> None:
    with closing(aws_server.ec2()) as client:
        foreign = client.run_instances(ImageId=IMAGE, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    register(aws_server, db_01.groups[0], foreign)
    db_01.restore()
    db_02.restore()
    db_02.remove()
    assert registered(aws_server, db_01.groups) == [[foreign], []]


def test_remove_deregisters_this_node_and_again_is_success(
    db_01: Node, db_02: Node, aws_server: AwsServer
) -> None:
    db_01.restore()
    for _ in range(2):
        db_01.remove()
        assert registered(aws_server, db_01.groups) == [[], []]
    db_02.restore()
    db_01.remove()  # once more, late: the other's target isn't its affair
    assert registered(aws_server, db_01.groups) == [[db_02.instance]] * 2
    assert db_01.lines == []


def test_remove_calls_nothing_where_it_is_not_to_deregister(db_01: Node, aws_server: AwsServer) -> None:
    db_01.restore()
    aws_server.forget_calls()
    db_01.remove(deregister_on_remove=False)
    assert operations(aws_server) == []
    assert registered(aws_server, db_01.groups) == [[db_01.instance]] * 2


def test_recover_takes_back_what_was_changed_and_deregisters_nothing_of_its_own(
    db_01: Node, db_02: Node, aws_server: AwsServer
) -> None:
    db_01.restore()
    register(aws_server, db_01.groups[0], db_02.instance)
    with closing(aws_server.elbv2()) as client:
        client.deregister_targets(TargetGroupArn=db_01.groups[1], Targets=[{"Id": db_01.instance}])
    check = db_01.check()
    assert check.health is Health.FAILED
    assert check.why == (
        f"web: {db_02.instance} is registered beside {db_01.instance}; api: {db_01.instance} isn't registered"
    )
    for _ in range(2):
        db_01.recover()
        assert registered(aws_server, db_01.groups) == [[db_01.instance]] * 2


def test_the_node_is_registered_before_others_are_deregistered(db_01: Node, aws_server: AwsServer) -> None:
    for action in (db_01.restore, db_01.reassert):  # to reassert is to write first, too
        aws_server.forget_calls()
        action(target_groups=db_01.groups[:1])
        assert operations(aws_server) == [REGISTER, DEREGISTER, DESCRIBE]
    assert TargetGroupKit.reasserts


def test_a_check_is_one_call_for_each_group(db_01: Node, aws_server: AwsServer) -> None:
    db_01.restore()
    aws_server.forget_calls()
    assert db_01.check().health is Health.OK
    assert operations(aws_server) == [DESCRIBE] * 2
    assert TargetGroupKit.default_check_interval_ms == 30_000


def test_a_group_that_fails_is_named_and_the_others_are_changed(db_01: Node, aws_server: AwsServer) -> None:
    groups = (NO_GROUP, *db_01.groups)
    with pytest.raises(
        KitError, match="targets: restore: none: RegisterTargets: TargetGroupNotFound"
    ) as caught:
        db_01.restore(target_groups=groups)
    assert not isinstance(caught.value, Unanswered)
    assert "web" not in caught.value.reason
    assert registered(aws_server, db_01.groups) == [[db_01.instance]] * 2
    check = db_01.check(target_groups=groups)
    assert check.health is Health.FAILED
    assert check.why.startswith("none: DescribeTargetHealth: TargetGroupNotFound")


def test_addresses_are_targets_too(db_01: Node, aws_server: AwsServer) -> None:
    """This machine has the loopback address: so that is this node's."""
    addresses = (ip_address("192.0.2.7"), ip_address("127.0.0.1"))
    register(aws_server, db_01.groups[0], "192.0.2.7")
    for _ in range(2):
        db_01.restore(instances=(), addresses=addresses)
        assert registered(aws_server, db_01.groups) == [["127.0.0.1"]] * 2
        assert db_01.check(instances=(), addresses=addresses).health is Health.OK


@pytest.mark.parametrize(
    "changes",
    [
        {"instances": ("i-0123456789abcdef0",)},
        {"instances": (), "addresses": (ip_address("192.0.2.7"),)},
        {"instances": (), "addresses": (ip_address("127.0.0.1"), ip_address("::1"))},
    ],
    ids=["instances", "addresses", "two of them"],
)
def test_a_node_that_does_not_know_its_target_changes_nothing(
    db_01: Node, aws_server: AwsServer, changes: dict[str, Any]
) -> None:
    with pytest.raises(KitError, match=r"among the instances|this node has"):
        db_01.restore(**changes)
    assert db_01.check(**changes).health is Health.FAILED
    (finding,) = db_01.validate(**changes)
    assert finding.remedy == "name an instance or address of every node"
    db_01.remove(**changes)
    assert operations(aws_server) == []


def test_without_metadata_nobody_can_tell_and_nothing_is_called(db_01: Node, aws_server: AwsServer) -> None:
    db_01.aws.machine = AwsError(AwsFault.NETWORK, "instance metadata", "URLError", "away", "enable IMDSv2")
    with pytest.raises(Unanswered, match="can't tell which instance this is"):
        db_01.restore()
    assert db_01.check().health is Health.UNKNOWN
    assert db_01.validate()[0].remedy == "enable IMDSv2"
    db_01.remove()
    assert len(db_01.lines) == 1
    assert operations(aws_server) == []


def test_its_permissions_are_just_what_it_calls(db_01: Node, aws_server: AwsServer) -> None:
    db_01.validate()
    db_01.restore()
    db_01.check()
    db_01.reassert()
    db_01.recover()
    db_01.remove()
    permissions = TargetGroupKit.permissions(db_01.kit().parameters)
    assert set(operations(aws_server)) == {action for each in permissions for action in each.actions}
    changes = [each for each in permissions if each.resources != ("*",)]
    assert [(each.actions, each.resources) for each in changes] == [((DEREGISTER, REGISTER), db_01.groups)]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"instances": ()}, "instances: missing"),
        ({"addresses": (ip_address("10.0.3.4"),)}, "addresses: leave it out"),
        ({"target_groups": (NO_GROUP, NO_GROUP)}, "target_groups: name arn:"),
        ({"instances": ("i-0123456789abcdef0",) * 2}, "instances: name i-0123456789abcdef0 once"),
        (
            {"instances": (), "addresses": (ip_address("10.0.3.4"),) * 2},
            r"addresses: name 10\.0\.3\.4 once",
        ),
    ],
)
def test_what_is_named_twice_or_not_at_all_is_refused(changes: dict[str, Any], complaint: str) -> None:
    usual: dict[str, Any] = {
        "target_groups": (NO_GROUP,),
        "port": PORT,
        "instances": ("i-0123456789abcdef0",),
    }
    with pytest.raises(BadParameter, match=complaint):
        TargetGroupParameters(**(usual | changes))
