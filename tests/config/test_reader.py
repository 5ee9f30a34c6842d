"""How a kit's parameter dataclass is understood."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from msgspec import Meta

from agent.config import parse
from agent.config.errors import ConfigError, Problem
from agent.config.reader import parameters_of, read
from agent.config.values import Problems, expected
from agent.core.states import Switchback
from tests.config.fakes import GOOD, KITS, SOURCE, AddressKit


@dataclass(frozen=True, kw_only=True)
class Sample:
    size: Annotated[int, Meta(description="How much.", gt=0)]
    wait_ms: Annotated[int | None, Meta(description="How long.", ge=500)] = None
    owner: Annotated[str, Meta(description="Who.")] | None = None
    mode: Switchback = Switchback.AUTOMATIC


def test_fields_become_keys() -> None:
    parameters = parameters_of(Sample)
    assert list(parameters) == ["size", "wait", "owner", "mode"]
    assert [each.name for each in parameters.values()] == ["size", "wait_ms", "owner", "mode"]
    assert [each.required for each in parameters.values()] == [True, False, False, False]
    assert [each.description for each in parameters.values()] == ["How much.", "How long.", "Who.", ""]


def test_a_table_becomes_the_dataclass() -> None:
    problems = Problems({})
    table = {"size": 3, "wait": "2s", "owner": "me", "mode": "intelligent"}
    sample = Sample(size=3, wait_ms=2_000, owner="me", mode=Switchback.INTELLIGENT)
    assert read(Sample, table, ("sample",), problems) == sample
    assert problems.sorted() == []


def test_every_problem_of_a_table_is_told_on_its_line() -> None:
    problems = Problems({("sample",): 4, ("sample", "wait"): 6, ("sample", "mod"): 5})
    assert read(Sample, {"mod": "x", "wait": "100ms"}, ("sample",), problems) is None
    assert problems.sorted() == [
        Problem(4, "sample.size", "missing; write a whole number above 0"),
        Problem(5, "sample.mod", 'unknown key; did you mean "mode"?'),
        Problem(
            6,
            "sample.wait",
            'write a duration of at least 500ms such as "250ms", "2s", "5min" or "1h", not "100ms"',
        ),
    ]


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (str, "a string"),
        (bool, "true or false"),
        (float | None, "a number"),
        (IPv4Address, 'an IPv4 address such as "10.0.3.4"'),
        (
            IPv4Interface | IPv6Interface,
            'an IP address with its prefix length such as "10.1.0.10/32" or "fd00::10/128"',
        ),
        (Annotated[int, Meta(gt=1, le=5)], "a whole number above 1 of at most 5"),
        (Annotated[int | None, Meta(ge=1, le=5)], "a whole number from 1 to 5"),
        (Annotated[str, Meta(min_length=1)], "a string of at least 1 character"),
        (
            Annotated[tuple[Path, ...], Meta(max_length=2)],
            'a list of at most 2 items, each an absolute path such as "/mnt/data"',
        ),
        (Switchback, '"intelligent" or "automatic"'),
    ],
)
def test_a_hint_says_what_to_write(hint: Any, words: str) -> None:
    assert expected(hint) == words


def test_a_kit_whose_parameter_hides_a_resources_own_key_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Hiding:
        address: str
        failover: str = ""

    class Clashing(AddressKit):
        Parameters: ClassVar[type[Any]] = Hiding

    with pytest.raises(ConfigError) as refused:
        parse(GOOD, SOURCE, {**KITS, "address": Clashing})
    assert refused.value.problems == (
        Problem(
            23,
            "hierarchy.app.resource.vip.kit",
            "address can't be used: each resource has a key failover already",
        ),
    )
