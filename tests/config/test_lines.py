"""The line finder knows the same keys as tomllib, and where each stands."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.lines import Where, find_lines, show_key

TRICKY = '''\
# [not.a.table]
top = "a # in a string" # and [a comment]
"quoted key" = 1
'literal.key' = 2
"\\u00e9\\"]" = 3
dotted . "in \\"parts\\"" . x = 4

[plain]
long = """
[in.a.string]
key = "no"
quotes: "" \\""" and ""\\
"""""
literal = \'\'\'
[[also.no]]
it\'s # no comment
\'\'\'\'
after = 1

[ a . b ] # [ c ]
list = [ # [
  1, "]", # ]
  [2, \'[\', [ ] ],
  { x = 1, "y.z" = { q = [1,
    2] } },
  1979-05-27 07:32:00, # a date
]
when = 1979-05-27T07:32:00.5-07:00
float = 6.02e+23

[a]
own = inf

[[fruit]]
name = "apple"
[fruit.shape]
round = true
[[fruit.variety]]
name = "red"
[[fruit.variety]]
name = "green"

[[fruit]]
[[fruit.variety]]
name = "yellow"
'''


def places(value: Any, where: Where = ()) -> set[Where]:
    """Every key and item of a parsed document."""
    items: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return {(*where, key) for key, _ in items}.union(*(places(each, (*where, key)) for key, each in items))


def test_tricky_toml_has_every_place_that_tomllib_finds() -> None:
    assert set(find_lines(TRICKY)) == places(tomllib.loads(TRICKY))


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (("top",), 2),
        (("quoted key",), 3),
        (("literal.key",), 4),
        (('é"]',), 5),
        (("dotted",), 6),
        (("dotted", 'in "parts"', "x"), 6),
        (("plain",), 8),
        (("plain", "long"), 9),
        (("plain", "literal"), 14),
        (("plain", "after"), 18),
        (("a", "b"), 20),
        (("a", "b", "list"), 21),
        (("a", "b", "list", 1), 22),
        (("a", "b", "list", 2, 2), 23),
        (("a", "b", "list", 3, "y.z", "q", 1), 25),
        (("a", "b", "list", 4), 26),
        (("a", "b", "float"), 29),
        (("a",), 31),
        (("fruit",), 34),
        (("fruit", 0, "shape", "round"), 37),
        (("fruit", 0, "variety", 1, "name"), 41),
        (("fruit", 1), 43),
        (("fruit", 1, "variety", 0), 44),
    ],
)
def test_tricky_toml_has_the_right_lines(where: Where, line: int) -> None:
    assert find_lines(TRICKY)[where] == line
    assert find_lines(TRICKY.replace("\n", "\r\n"))[where] == line


def test_a_key_is_shown_as_toml_writes_it() -> None:
    assert show_key(("a", "b c", 3, "d.e", 'f"\n')) == 'a."b c"."d.e"."f\\"\\u000a"'
    assert tomllib.loads(f"{show_key(('a', 'x', chr(0x7F)))} = 1") == {"a": {"x": {chr(0x7F): 1}}}


KEYS = st.sampled_from(["a", "b-1", '"q. ]"', "'l#'", "a.b", 'x . "y"'])
SCALARS = st.sampled_from(
    [
        "1",
        "1.5",
        "true",
        '"s"',
        "'''\n[x]\n'''",
        '"""\n#"]\\"""", \n"""',
        "07:32:00",
        "'\"'",
        "2026-01-01 00:00:00",
    ]
)
GAPS = st.sampled_from(["", " ", "\n", " # ] } = [\n", "\n\n"])


@st.composite
def lists(draw: st.DrawFn, of: st.SearchStrategy[str]) -> str:
    items = "".join(f"{draw(GAPS)}{item}{draw(GAPS)}," for item in draw(st.lists(of, max_size=3)))
    return f"[{items}{draw(GAPS)}]"


@st.composite
def inline_tables(draw: st.DrawFn, of: st.SearchStrategy[str]) -> str:
    return "{" + ", ".join(f"{draw(KEYS)} = {value}" for value in draw(st.lists(of, max_size=2))) + "}"


VALUES = st.recursive(SCALARS, lambda inner: lists(inner) | inline_tables(inner), max_leaves=6)
LINES = st.one_of(
    st.builds("{} = {}\n".format, KEYS, VALUES),
    st.builds("[{}]\n".format, KEYS),
    st.builds(" [[ {} ]] # [\n".format, KEYS),
    st.sampled_from(["\n", "# a = [\n"]),
)


@given(st.lists(LINES, max_size=8).map("".join))
def test_any_valid_toml_has_every_place_that_tomllib_finds(text: str) -> None:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # keys drawn twice
    found = find_lines(text)
    assert set(found) == places(document)
    lines = text.split("\n")
    for where, line in found.items():
        last = where[-1]
        if isinstance(last, str):  # the key stands on that line, or in a header or dotted key there
            assert any(shown in lines[line - 1] for shown in (last, show_key((last,)))), (where, line)
