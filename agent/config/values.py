"""One value of a TOML file to one typed Python value, by its type hint.

Known hints: str, int, bool, float, Duration (a string such as "2s", kept as milliseconds), Path
(absolute: an agent has no working directory worth naming), HostPort, the address types of `ipaddress` and
unions of them, Literal, Enum, tuple[X, ...]; each optionally `| None` (TOML has no null: None is a default
only) and in `Annotated` with `msgspec.Meta`. msgspec does the work for plain scalars.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, EnumMeta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from agent.config.durations import format_duration, parse_duration
from agent.config.errors import Problem
from agent.config.hostports import HostPort, parse_host_port
from agent.config.lines import Where, show_key

Duration = NewType("Duration", int)  # milliseconds

_NAMES: dict[Any, tuple[str, str]] = {  # what people call it, and an example
    str: ("a string", ""),
    int: ("a whole number", ""),
    float: ("a number", ""),
    bool: ("true or false", ""),
    Duration: ("a duration", '"250ms", "2s", "5min" or "1h"'),
    Path: ("an absolute path", '"/mnt/data"'),
    HostPort: ("a host and a port", '"10.0.0.1:53", "[fd00::1]:443" or "proxy.example.com:3128"'),
    IPv4Address: ("an IPv4 address", '"10.0.3.4"'),
    IPv6Address: ("an IPv6 address", '"fd00::4"'),
    IPv4Interface: ("an IPv4 address with its prefix length", '"10.1.0.10/32"'),
    IPv6Interface: ("an IPv6 address with its prefix length", '"fd00::10/128"'),
    IPv4Network: ("an IPv4 network", '"10.1.0.0/16"'),
    IPv6Network: ("an IPv6 network", '"fd00::/64"'),
}
_IP_TYPES = (IPv4Address, IPv6Address, IPv4Interface, IPv6Interface, IPv4Network, IPv6Network)


@dataclass
class Problems:
    """Collects what is wrong; the same thing said twice is kept once."""

    lines: dict[Where, int]
    _found: dict[Problem, None] = field(default_factory=dict)

    def add(self, where: Where, message: str) -> None:
        """Keep a problem; what isn't in the file stands on the line of the table that lacks it."""
        at = where
        while at and at not in self.lines:
            at = at[:-1]
        self._found[Problem(self.lines.get(at, 0), show_key(where), message)] = None

    def sorted(self) -> list[Problem]:
        """All problems, by line."""
        return sorted(self._found)


def convert(hint: Any, value: Any, where: Where, problems: Problems) -> Any:
    """The typed value, or None when it was refused and `problems` says why."""
    alternatives, metas = unwrap(hint)
    if get_origin(alternatives[0]) is tuple:
        return _convert_list(hint, value, where, problems)
    try:
        if alternatives == (Duration,):
            return _check(int, metas, parse_duration(_string(value)))
        if alternatives == (Path,):
            return _absolute(_string(value))
        if alternatives == (HostPort,):
            return parse_host_port(_string(value))
        if alternatives[0] in _IP_TYPES:
            return _ip(alternatives, _string(value))
        return _check(Union[alternatives], metas, value)  # noqa: UP007 (built from a tuple)
    except ValueError:  # msgspec.ValidationError is one, and so are those of ipaddress
        problems.add(where, _remedy(hint, value))
        return None


def unwrap(hint: Any) -> tuple[tuple[Any, ...], tuple[Meta, ...]]:
    """The alternatives of a hint without None, and what every Annotated around them says."""
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        alternatives, metas = unwrap(inner)
        return alternatives, (*metas, *(note for note in notes if isinstance(note, Meta)))
    if get_origin(hint) not in (Union, UnionType):
        return (hint,), ()
    parts = [unwrap(part) for part in get_args(hint) if part is not NoneType]
    return tuple(one for part, _ in parts for one in part), tuple(
        meta for _, metas in parts for meta in metas
    )


def annotated(hint: Any, metas: tuple[Meta, ...]) -> Any:
    """The other way round: one hint with all that `metas` say."""
    return Annotated[(hint, *metas)] if metas else hint


def expected(hint: Any) -> str:
    """What to write for a hint: `a whole number from 1 to 65535`, `an absolute path such as "/mnt/data"`."""
    alternatives, metas = unwrap(hint)
    first, title = alternatives[0], _said(metas, "title")
    if get_origin(first) is tuple:
        return f"a list{_size(metas, 'item')}, each {expected(get_args(first)[0])}"
    if get_origin(first) is Literal:
        return either(show(choice) for choice in get_args(first))
    if isinstance(first, EnumMeta):
        members: list[Enum] = list(first)
        return either(show(member) for member in members)
    text = title or either(_NAMES[one][0] for one in alternatives)
    if title is None and len(alternatives) > 1 and first in _IP_TYPES:
        text = _NAMES[first][0].replace("IPv4", "IP")
    if str in alternatives:
        text += _size(metas, "character")
    text += _bounds(metas, format_duration if first is Duration else str)
    examples = _said(metas, "examples")
    said = (
        either(map(show, examples))
        if examples
        else either(filter(None, (_NAMES[one][1] for one in alternatives)))
    )
    return f"{text} such as {said}" if said else text


def show(value: Any) -> str:
    """A value as TOML writes it, shortened to fit in a message."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        simple = not any(isinstance(item, dict | list) for item in value)
        return f"[{', '.join(map(show, value))}]" if simple and len(value) <= 5 else f"a list of {len(value)}"
    text = json.dumps(value) if isinstance(value, str | bool) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def either(choices: Iterable[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    *others, last = list(choices) or [""]
    return f"{', '.join(others)} or {last}" if others else last


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean "nodes"?` where a known word is close, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {show(close[0])}?" if close else ""


def _convert_list(hint: Any, value: Any, where: Where, problems: Problems) -> tuple[Any, ...] | None:
    (first, *_), metas = unwrap(hint)
    item_hint = get_args(first)[0]
    if not isinstance(value, list):
        problems.add(where, f"write a list, [{show(value)}], not {show(value)}")
        return None
    items = [convert(item_hint, item, (*where, i), problems) for i, item in enumerate(value)]
    try:
        _check(tuple[Any, ...], metas, items)
    except ValueError:
        problems.add(where, _remedy(hint, value))
        return None
    return None if None in items else tuple(items)


def _check(hint: Any, metas: tuple[Meta, ...], value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(value)
    if isinstance(value, str) and "\0" in value:  # neither a path, an argument nor a name can hold it
        raise ValueError(value)
    return msgspec.convert(value, annotated(hint, metas))


def _string(value: Any) -> str:
    return msgspec.convert(value, str)


def _absolute(text: str) -> Path:
    if not text.startswith("/") or "\0" in text:
        raise ValueError(text)
    return Path(text)


def _ip(types: tuple[Any, ...], text: str) -> Any:
    for one in types:
        try:
            parsed = one(text)
        except ValueError:
            continue
        if "Interface" in one.__name__ and "/" not in text:
            continue  # ipaddress would silently make it a host's: /32
        return parsed
    raise ValueError(text)


def _remedy(hint: Any, value: Any) -> str:
    (first, *_), _ = unwrap(hint)
    if first is Duration and type(value) is int and value >= 0:
        return f'a duration needs its unit: write "{value}ms" or "{value}s", not {value}'
    if first in (IPv4Network, IPv6Network) and isinstance(value, str):
        try:
            network = IPv4Interface(value) if "." in value else IPv6Interface(value)
        except ValueError:
            pass
        else:
            return f"write the network's own address, {show(str(network.network))}, not {show(value)}"
    return f"write {expected(hint)}, not {show(value)}"


def _bounds(metas: tuple[Meta, ...], text: Any) -> str:
    low, high = _said(metas, "ge"), _said(metas, "le")
    if low is not None and high is not None:
        return f" from {text(low)} to {text(high)}"
    words = (("ge", "of at least"), ("gt", "above"), ("le", "of at most"), ("lt", "below"))
    return "".join(
        f" {word} {text(said)}" for name, word in words if (said := _said(metas, name)) is not None
    )


def _size(metas: tuple[Meta, ...], unit: str) -> str:
    low, high = _said(metas, "min_length"), _said(metas, "max_length")
    words = (low and f"at least {low}", high and f"at most {high}")
    said = " and ".join(word for word in words if word)
    return f" of {said} {unit}{'' if (high or low) == 1 else 's'}" if said else ""


def _said(metas: tuple[Meta, ...], name: str) -> Any:
    return next((said for meta in metas if (said := getattr(meta, name)) is not None), None)
