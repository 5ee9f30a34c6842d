"""Core events and state as JSON lines, for the journal.

Every dataclass of a union names itself: `{"kind": "Tick", "at": 12}`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

import msgspec

from agent.core.effects import Effect
from agent.core.events import Event
from agent.core.messages import Command, Message
from agent.core.state import NodeState

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for union in (Event, Message, Command) for kind in get_args(union)
}
_HINTS: dict[str, dict[str, Any]] = {name: get_type_hints(kind) for name, kind in _KINDS.items()}
_NESTED = frozenset({"message", "command"})  # fields that hold one of a union


class BadRecord(ValueError):
    """A line of a journal that can't be read."""


class Entry(msgspec.Struct, frozen=True):
    """One step: what happened, and a checksum of what the node decided."""

    event: dict[str, Any]
    decided: int = 0  # 0: nothing


class Header(msgspec.Struct, frozen=True):
    """The beginning of a journal: who wrote it, and everything the node knew."""

    kagemusha: str  # the agent's version
    state: NodeState


def encode_entry(event: Event, effects: Sequence[Effect]) -> bytes:
    """One line, without its end."""
    return msgspec.json.encode(Entry(_tagged(event), checksum(effects)))


def decode_entry(line: bytes) -> tuple[Event, int]:
    """The event of a line and its decisions' checksum; raises BadRecord."""
    try:
        entry = msgspec.json.decode(line, type=Entry)
        event: Event = _untagged(entry.event)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRecord(str(error)) from error
    except (KeyError, TypeError) as error:
        raise BadRecord(f"not an event: {error}") from error
    return event, entry.decided


def encode_header(version: str, state: NodeState) -> bytes:
    """The first line, without its end."""
    return msgspec.json.encode(Header(version, state))


def decode_header(line: bytes) -> Header:
    """Raises BadRecord."""
    try:
        return msgspec.json.decode(line, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadRecord(str(error)) from error


def checksum(effects: Sequence[Effect]) -> int:
    """The same for the same decisions, on every machine; never 0 unless there are none."""
    return zlib.crc32(repr(effects).encode()) | 1 if effects else 0


def _tagged(value: Any) -> dict[str, Any]:
    assert is_dataclass(value)
    content = {
        each.name: _tagged(inner) if each.name in _NESTED else inner
        for each in fields(value)
        for inner in [getattr(value, each.name)]
    }
    return {"kind": type(value).__name__, **content}


def _untagged(content: dict[str, Any]) -> Any:
    hints = _HINTS[content["kind"]]
    return _KINDS[content["kind"]](
        **{
            name: _untagged(inner) if name in _NESTED else msgspec.convert(inner, hints[name])
            for name, inner in content.items()
            if name != "kind"
        }
    )
