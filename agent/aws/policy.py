"""From permissions to one IAM policy document: merged, sorted, and the same for the same permissions.

Keeps: exactly the pairs of action and resource that were asked for are allowed, each under its own
conditions; nothing is widened to make the document shorter.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from recovery_kits.contract import Permission

LONGEST_INLINE = 10_240  # characters of all inline policies of a role, white space left out
ANYTHING = frozenset({"*"})
_LOOKING = ("Describe", "Get", "List", "Search")  # how the names of actions begin that change nothing


@dataclass(frozen=True, kw_only=True)
class Home:
    """What the {region} and {account} of ARNs stand for; "*": not known, so any."""

    region: str = "*"
    account: str = "*"

    @property
    def partition(self) -> str:
        """AWS's own division of the world, by the region's name; IAM takes no "*" here."""
        starts = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        return next((name for start, name in starts.items() if self.region.startswith(start)), "aws")

    def fill(self, arn: str) -> str:
        """The ARN with its placeholders filled in."""
        for name in ("partition", "region", "account"):
            arn = arn.replace(f"{{{name}}}", getattr(self, name))
        return arn


def document(permissions: Iterable[Permission], home: Home) -> dict[str, Any]:
    """The policy that allows exactly this."""
    reasons, resources = _by_action(permissions, home)
    merged: dict[tuple[frozenset[str], str], list[str]] = defaultdict(list)
    for (action, condition), arns in resources.items():
        merged[frozenset(arns) if "*" not in arns else ANYTHING, condition].append(action)
    statements = [
        _statement(actions, arns, json.loads(condition), [reasons[each, condition] for each in actions])
        for (arns, condition), actions in merged.items()
    ]
    statements.sort(key=lambda each: (each["Sid"], each["Action"], each["Resource"]))
    _number(statements)
    return {"Version": "2012-10-17", "Statement": statements}


def size(policy: Mapping[str, Any]) -> int:
    """Its length as IAM counts it."""
    return len("".join(json.dumps(policy).split()))


def _by_action(
    permissions: Iterable[Permission], home: Home
) -> tuple[dict[tuple[str, str], set[str]], dict[tuple[str, str], set[str]]]:
    """Why, and on what, for each action under each condition (as JSON, which compares and sorts)."""
    reasons: dict[tuple[str, str], set[str]] = defaultdict(set)
    resources: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in permissions:
        condition = json.dumps(_plain(each.conditions), sort_keys=True)
        for action in each.actions:
            reasons[action, condition].add(each.why)
            resources[action, condition].update(map(home.fill, each.resources))
    return reasons, resources


def _plain(conditions: Mapping[str, Mapping[str, str | Sequence[str]]]) -> dict[str, Any]:
    return {
        operator: {key: value if isinstance(value, str) else sorted(value) for key, value in test.items()}
        for operator, test in conditions.items()
    }


def _statement(
    actions: list[str], resources: Set[str], condition: dict[str, Any], reasons: list[set[str]]
) -> dict[str, Any]:
    looks_only = all(action.partition(":")[2].startswith(_LOOKING) for action in actions)
    plain = looks_only and resources == ANYTHING and not condition
    sid = "Look" if plain else "And".join(sorted(set().union(*reasons)))
    statement: dict[str, Any] = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": sorted(resources),
    }
    return statement | ({"Condition": condition} if condition else {})


def _number(statements: list[dict[str, Any]]) -> None:
    """Give each statement an id of its own, as IAM wants it."""
    seen: dict[str, int] = defaultdict(int)
    for each in statements:
        seen[each["Sid"]] += 1
        if seen[each["Sid"]] > 1:
            each["Sid"] += str(seen[each["Sid"]])
