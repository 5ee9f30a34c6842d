"""Routes to a managed prefix list, and an EC2 that names no instances (see scripted.py)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.core.states import Health
from recovery_kits.contract import Site
from recovery_kits.route import RouteKit, RouteParameters
from recovery_kits.route.search import MOST_PAGES
from recovery_kits.route.tables import PrefixListId
from tests.kits.route.scripted import INTERFACE, OTHER_INTERFACE, TABLES, VPC, ScriptedAws, scripted_kit

LIST = PrefixListId("pl-0123456789abcdef0")
ROUTE = ("DestinationPrefixListId", LIST)


@pytest.fixture
def aws() -> ScriptedAws:
    return ScriptedAws(LIST)


def kit(aws: ScriptedAws, tmp_path: Path, **changes: Any) -> RouteKit:
    tables = () if "route_tables_by" in changes else TABLES
    given: dict[str, Any] = {"destination": LIST, "route_tables": tables, "interface": INTERFACE}
    return scripted_kit(aws, RouteParameters(**(given | changes)), Site(state_dir=tmp_path))


def test_a_prefix_list_is_led_here_though_no_instance_is_named(aws: ScriptedAws, tmp_path: Path) -> None:
    route = kit(aws, tmp_path)
    for _ in range(2):
        asyncio.run(route.restore())
        assert [aws.routes[table] for table in TABLES] == [{ROUTE: INTERFACE}] * 2
        assert asyncio.run(route.quick_check()).health is Health.OK


def test_a_stolen_route_to_a_prefix_list_is_seen(aws: ScriptedAws, tmp_path: Path) -> None:
    route = kit(aws, tmp_path)
    asyncio.run(route.restore())
    aws.routes[TABLES[0]][ROUTE] = OTHER_INTERFACE
    check = asyncio.run(route.quick_check())
    assert (check.health, check.why) == (Health.FAILED, f"{TABLES[0]} points at {OTHER_INTERFACE}")


def test_tables_are_found_by_a_prefix_list_as_well(aws: ScriptedAws, tmp_path: Path) -> None:
    aws.routes[TABLES[1]][ROUTE] = OTHER_INTERFACE
    asyncio.run(kit(aws, tmp_path, route_tables_by="vip").restore())
    assert [aws.routes[table] for table in TABLES] == [{}, {ROUTE: INTERFACE}]


def test_all_pages_of_an_answer_are_read_but_no_endless_ones(aws: ScriptedAws, tmp_path: Path) -> None:
    aws.page_length = 1
    asyncio.run(kit(aws, tmp_path).restore())
    aws.routes |= {f"rtb-{number:08x}": {ROUTE: INTERFACE} for number in range(16, 16 + MOST_PAGES)}
    check = asyncio.run(kit(aws, tmp_path, route_tables_by="vip", vpc=VPC).quick_check())
    assert check.health is Health.UNKNOWN
    assert "choose them by a tag" in check.why


def test_a_prefix_list_that_does_not_exist_is_found(aws: ScriptedAws, tmp_path: Path) -> None:
    assert asyncio.run(kit(aws, tmp_path).validate()) == []
    (finding,) = asyncio.run(kit(aws, tmp_path, destination=PrefixListId("pl-00000000")).validate())
    assert finding.problem == "prefix list pl-00000000 doesn't exist in this region"
    assert "describe-managed-prefix-lists" in finding.remedy


@pytest.mark.parametrize("text", ["pl-", "pl-xyz", "PL-01234567", "10.0.0.0/8", "pl-01234567\n"])
def test_what_can_be_no_prefix_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        PrefixListId(text)
