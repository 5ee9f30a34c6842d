"""How permissions become one document: exactly what was asked for, merged, and always the same."""

from __future__ import annotations

import itertools
from typing import Any

from agent.aws.policy import Home, document, size
from recovery_kits.contract import Permission

HOME = Home(region="cn-north-1", account="123456789012")
MOVE = Permission(
    why="Move", actions=("ec2:B", "ec2:A"), resources=("arn:{partition}:x:{region}:{account}:r/2",)
)
MORE = Permission(why="Move", actions=("ec2:A",), resources=("arn:{partition}:x:{region}:{account}:r/1",))
SEE = Permission(why="See", actions=("ec2:DescribeB", "ec2:DescribeA"))
LOOK = Permission(why="Look", actions=("route53:GetChange", "ec2:DescribeA"))
IF = Permission(why="If", actions=("ec2:A",), conditions={"StringEquals": {"k": ("b", "a"), "j": "c"}})


def pairs(policy: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (action, arn)
        for each in policy["Statement"]
        if "Condition" not in each
        for action in each["Action"]
        for arn in each["Resource"]
    }


def test_nothing_is_widened() -> None:
    start = "arn:aws-cn:x:cn-north-1:123456789012:r/"
    assert pairs(document([MOVE, MORE], HOME)) == {
        ("ec2:A", f"{start}1"),
        ("ec2:A", f"{start}2"),
        ("ec2:B", f"{start}2"),
    }


def test_what_may_be_done_anywhere_names_no_place_beside_it() -> None:
    anywhere = Permission(why="All", actions=("ec2:A",))
    assert pairs(document([MORE, anywhere], HOME)) == {("ec2:A", "*")}


def test_looks_become_one_statement() -> None:
    (statement,) = document([SEE, LOOK], HOME)["Statement"]
    actions = ["ec2:DescribeA", "ec2:DescribeB", "route53:GetChange"]
    assert statement == {"Sid": "Look", "Effect": "Allow", "Action": actions, "Resource": ["*"]}


def test_a_condition_stays_with_its_own_actions() -> None:
    first, second = document([IF, Permission(why="If", actions=("ec2:A",), resources=("arn:r",))], HOME)[
        "Statement"
    ]
    condition = {"StringEquals": {"j": "c", "k": ["a", "b"]}}
    assert (first["Resource"], first["Condition"]) == (["*"], condition)
    assert (second["Resource"], "Condition" in second) == (["arn:r"], False)
    assert (first["Sid"], second["Sid"]) == ("If", "If2")


def test_the_order_of_what_is_asked_for_does_not_matter() -> None:
    every = [document(each, HOME) for each in itertools.permutations((MOVE, MORE, SEE, LOOK, IF))]
    assert all(each == every[0] for each in every)


def test_its_length_is_counted_as_iam_does() -> None:
    assert size({"Version": "2012-10-17", "Statement": []}) == len('{"Version":"2012-10-17","Statement":[]}')
