"""What security groups let through between the nodes, either way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.doctor.cloud import Rule
from agent.doctor.contract import Outcome
from agent.doctor.networks import needs, security_groups
from tests.doctor.clouds import ALL, GOOD, MIRROR, config, group, problems, rule

OWN = (rule("udp", 7400, 7400, "10.0.0.0/16"), rule("tcp", 7000, 8000, "10.0.3.4/32"))


def found(incoming: tuple[Rule, ...], outgoing: tuple[Rule, ...] = (ALL,)) -> list[str]:
    """What db-02's group stops, its node's name left out."""
    cloud = replace(GOOD, groups=group("sg-1") | group("sg-2", incoming, outgoing))
    return [each.text for each in problems(security_groups(config(), cloud))]


def test_the_nodes_need_heartbeats_messages_and_mirrors_each_way() -> None:
    wanted = {(need.what, need.protocol, need.port, need.sender) for need in needs(config(MIRROR))}
    kinds = (("heartbeats", "udp", 7400), ("messages", "tcp", 7400), ("mirror it", "tcp", 10_809))
    assert wanted == {(*kind, node) for kind in kinds for node in ("db-01", "db-02")}


def test_what_all_may_do_and_what_is_just_enough_is_good() -> None:
    assert found((ALL,)) == []
    assert found(OWN) == []


def test_a_rule_may_name_the_group_of_the_other_node() -> None:
    assert found((rule("-1", None, None, groups=("sg-1",)),)) == []
    assert found((rule("6", 0, 65_535, groups=("sg-1",)), rule("17", 7400, 7400, groups=("sg-1",)))) == []
    assert len(found((rule("-1", None, None, groups=("sg-9",)),))) == 2


@pytest.mark.parametrize(
    "incoming",
    [
        (rule("tcp", 7400, 7400, "10.0.3.4/32"),),  # no UDP
        (*OWN[1:], rule("udp", 7401, 7500, "10.0.3.4/32")),
        (*OWN[1:], rule("udp", 7400, 7400, "10.0.6.0/24")),
    ],
)
def test_heartbeats_that_do_not_come_in_are_found(incoming: tuple[Rule, ...]) -> None:
    (text,) = found(incoming)
    assert text == (
        "heartbeats (UDP 7400) from db-01 to db-02 on eni-0: no security group lets them into eni-2"
    )


def test_what_does_not_get_out_is_found_as_well_with_the_command_that_lets_it() -> None:
    outgoing = (rule("udp", 7400, 7400, "0.0.0.0/0"),)
    cloud = replace(GOOD, groups=group("sg-1") | group("sg-2", outgoing=outgoing))
    (closed,) = problems(security_groups(config(), cloud))
    assert closed.text == (
        "messages (TCP 7400) from db-02 to db-01 on eni-0: no security group lets them out of eni-2"
    )
    assert closed.remedy == (
        "aws ec2 authorize-security-group-egress --group-id sg-2 --ip-permissions "
        "'IpProtocol=tcp,FromPort=7400,ToPort=7400,IpRanges=[{CidrIp=10.0.3.4/32}]'"
    )


def test_a_prefix_list_is_not_looked_into() -> None:
    cloud = replace(GOOD, groups=group("sg-1") | group("sg-2", (rule("-1", None, None, lists=("pl-1",)),)))
    outcomes = [each.outcome for each in problems(security_groups(config(), cloud))]
    assert outcomes == [Outcome.UNKNOWN, Outcome.UNKNOWN]
