"""TOML tables to frozen keyword-only dataclasses, collecting every problem.

A kit declares its parameters like this, and so do the agent's own tables (tables.py):

    @dataclass(frozen=True, kw_only=True)
    class IpParameters:
        address: Annotated[IPv4Interface | IPv6Interface, Meta(description="The virtual address.")]
        device: Annotated[str, Meta(description="The network device.", min_length=1, examples=["eth0"])]
        announce_ms: Annotated[int, Meta(description="How long to announce it.", ge=100)] = 2_000
        label: Annotated[str | None, Meta(description="A label for `ip address`.")] = None

- The TOML key is the field's name. A field `announce_ms: int` is the key `announce`, a duration
  string in the file ("2s") and whole milliseconds here; its ge and le are milliseconds too.
- A field without a default is required; `X | None` means it may be left out, then None.
- Which types a field can have: values.py. `Meta` gives the limits (ge, le, gt, lt, pattern, min_length,
  max_length), the description that the TOML reference shows, and examples for the messages: give one
  with each pattern, since nobody can read it.
- What depends on several fields is checked in `__post_init__`, which raises
  `agent.config.errors.BadParameter("device", "what is wrong, and what to write instead")`.
- Every resource has some keys of its own (tables.ResourceTable); a parameter can't be named like one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass
from types import MappingProxyType
from typing import Any, TypeVar, get_type_hints

from agent.config.errors import BadParameter
from agent.config.lines import Where, show_key
from agent.config.values import Duration, Problems, annotated, convert, did_you_mean, expected, show, unwrap

T = TypeVar("T")
Table = Mapping[str, Any]


@dataclass(frozen=True)
class Parameter:
    """One field of a dataclass as the TOML file sees it."""

    name: str  # of the field: announce_ms
    key: str  # in the file: announce
    hint: Any
    required: bool
    default: Any  # None where `required`
    description: str


def parameters_of(cls: type[Any]) -> Mapping[str, Parameter]:
    """The fields of a dataclass, by TOML key."""
    key: Any = cls
    return _parameters_of(key)


@functools.cache  # a file asks for each class many times; there are as many as kits
def _parameters_of(cls: Any) -> Mapping[str, Parameter]:
    hints = get_type_hints(cls, include_extras=True)
    found = {}
    for field in dataclasses.fields(cls):
        key, hint = toml_key(field.name), hints[field.name]
        metas = unwrap(hint)[1]
        if key != field.name:
            hint = annotated(Duration, metas)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        found[key] = Parameter(
            name=field.name,
            key=key,
            hint=hint,
            required=default is MISSING,
            default=None if default is MISSING else default,
            description=next((meta.description for meta in metas if meta.description), ""),
        )
    return MappingProxyType(found)


def toml_key(name: str) -> str:
    """A field's name as the file has it: without the unit, which a duration string carries itself."""
    return name.removesuffix("_ms")


def read(cls: type[T], table: Table, where: Where, problems: Problems) -> T | None:
    """Read a table that holds nothing but `cls`'s keys; None when anything in it was refused."""
    parameters = parameters_of(cls)
    refuse_unknown(table, parameters, where, problems)
    return read_known(cls, table, lambda key: (*where, key), problems)


def read_known(cls: type[T], table: Table, locate: Callable[[str], Where], problems: Problems) -> T | None:
    """As `read`, leaving other keys alone; `locate` tells where each key stands in the file."""
    given: dict[str, Any] = {}
    complete = True
    for key, parameter in parameters_of(cls).items():
        if key not in table:
            if parameter.required:
                problems.add(locate(key), f"missing; write {expected(parameter.hint)}")
            complete = complete and not parameter.required
            continue
        value = _read_value(parameter.hint, table[key], locate(key), problems)
        complete = complete and value is not None
        given[parameter.name] = value
    if not complete:
        return None
    try:
        return cls(**given)
    except BadParameter as bad:
        problems.add(locate(toml_key(bad.key)), bad.message)
        return None


def refuse_unknown(keys: Iterable[str], known: Iterable[str], where: Where, problems: Problems) -> None:
    """Say of each key that isn't `known` so, and which one was probably meant."""
    known = list(known)
    for key in keys:
        if key in known:
            continue
        hint = did_you_mean(key, known) or f"; known here: {', '.join(sorted(known))}"
        problems.add((*where, key), f"unknown key{hint}")


def read_one(cls: type[Any], key: str, table: Table, where: Where, problems: Problems) -> Any:
    """One key alone: for what is compared with other tables even if the rest of this one was refused.

    None when it is missing, and when it was refused.
    """
    return (
        convert(parameters_of(cls)[key].hint, table[key], (*where, key), problems) if key in table else None
    )


def subtable(table: Table, key: str, where: Where, problems: Problems, below: str = "") -> Table | None:
    """The table at `key`, empty when there is none; None when it is something else, which is a problem."""
    value = table.get(key, {})
    if isinstance(value, dict):
        return value
    problems.add((*where, key), f"write a table, [{show_key((*where, key))}{below}], not {show(value)}")
    return None


def subtables(table: Table, key: str, placeholder: str, where: Where, problems: Problems) -> dict[str, Table]:
    """The tables named below `key`, those of [comm_path.NAME] for example, by name."""
    named = subtable(table, key, where, problems, below=f".{placeholder}") or {}
    tables = {name: subtable(named, name, (*where, key), problems) for name in named}
    return {name: each for name, each in tables.items() if each is not None}


def inner_table(hint: Any) -> type[Any] | None:
    """The dataclass that a field holds, such as a resource's limits; None for a plain value."""
    inner = unwrap(hint)[0][0]
    return inner if isinstance(inner, type) and dataclasses.is_dataclass(inner) else None


def _read_value(hint: Any, value: Any, where: Where, problems: Problems) -> Any:
    if (inner := inner_table(hint)) is not None:
        if not isinstance(value, dict):
            problems.add(where, f"write a table, {{ key = value, … }}, not {show(value)}")
            return None
        return read(inner, value, where, problems)
    return convert(hint, value, where, problems)
