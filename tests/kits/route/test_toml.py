"""How a route is written in the file."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from agent.config.lines import find_lines
from agent.config.resources import read_resource
from agent.config.values import Problems
from agent.core.ids import NodeId
from recovery_kits.registry import kits
from recovery_kits.route import RouteParameters
from recovery_kits.route.tables import PrefixListId

NODE = NodeId("db-01")
TABLES = 'route_tables = ["rtb-0000000a"]\n'


def read(text: str) -> tuple[Any, list[str]]:
    """The parameters, and what is wrong."""
    text = 'kit = "route"\n' + text
    problems = Problems(find_lines(text))
    resource = read_resource("route-vip", tomllib.loads(text), (), [NODE], kits(), problems)
    return resource.parameters.get(NODE), [f"{each.key}: {each.message}" for each in problems.sorted()]


def parameters(text: str) -> RouteParameters:
    found, problems = read(text)
    assert problems == []
    assert isinstance(found, RouteParameters)
    return found


def test_a_destination_is_a_network_or_a_prefix_list() -> None:
    assert parameters(TABLES + 'destination = "pl-0123abcd"').destination == PrefixListId("pl-0123abcd")
    assert str(parameters(TABLES + 'destination = "FD00:0::10/128"').destination) == "fd00::10/128"


@pytest.mark.parametrize("destination", ["pl-nonsense", "10.1.0.10/24", "everywhere"])
def test_any_other_destination_is_refused(destination: str) -> None:
    _, (problem,) = read(TABLES + f'destination = "{destination}"')
    assert "destination" in problem


def test_tables_are_named_or_looked_for() -> None:
    to = 'destination = "10.1.0.10/32"\n'
    assert parameters(to + TABLES).route_tables == ("rtb-0000000a",)
    assert parameters(to + 'route_tables_by = "vip"').tag is None
    by_tag = parameters(to + 'route_tables_by = "tag:team/cluster=garoon=1"')
    assert by_tag.tag == ("team/cluster", "garoon=1")


@pytest.mark.parametrize("by", ["VIP", "tag:cluster", "tag:=x", "tag:cluster=*", "tag:${aws:username}=x", ""])
def test_any_other_way_to_find_tables_is_refused(by: str) -> None:
    _, (problem,) = read(f'destination = "10.1.0.10/32"\nroute_tables_by = "{by}"')
    assert 'such as "vip" or "tag:cluster=garoon"' in problem


def test_a_role_is_an_arn() -> None:
    to = 'destination = "10.1.0.10/32"\n' + TABLES
    arn = "arn:aws-us-gov:iam::210987654321:role/path/kagemusha-routes"
    assert parameters(to + f'role_arn = "{arn}"').role_arn == arn
    _, (problem,) = read(to + 'role_arn = "kagemusha-routes"')
    assert "role_arn" in problem
