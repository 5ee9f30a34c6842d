"""The example's cluster.toml with a few values replaced, so that it runs in the lab."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Settings = Mapping[str, Any]  # "cluster.preset" -> "fast"; None takes the key away


def overlay(text: str, *changes: Settings) -> str:
    """A TOML text with `changes` applied in turn; its comments are lost."""
    document = tomllib.loads(text)
    for change in changes:
        for dotted, value in change.items():
            *tables, key = dotted.split(".")
            table = document
            for name in tables:
                table = table.setdefault(name, {})
            if value is None:
                table.pop(key, None)
            else:
                table[key] = value
    return "\n".join(_lines(document)) + "\n"


def _lines(table: Mapping[str, Any], name: str = "") -> Iterator[str]:
    yield from (f"{key} = {_value(value)}" for key, value in table.items() if not isinstance(value, dict))
    for key, value in table.items():
        if isinstance(value, dict):
            inner = f"{name}.{key}" if name else key
            if any(not isinstance(each, dict) for each in value.values()):
                yield f"\n[{inner}]"
            yield from _lines(value, inner)


def _value(value: Any) -> str:
    return json.dumps(list(value) if isinstance(value, tuple) else value)  # TOML writes these as JSON does
