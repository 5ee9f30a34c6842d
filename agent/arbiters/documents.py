"""A record as bytes: JSON that names its format, so that people and later versions can read it.

    {"kagemusha": 1, "record": {"register": {…}, "voted_for": "db-01", "term": 7, "nonce": "…"}}

A later version may add fields that have a default and keep the number: earlier ones ignore them. Any
other change needs a new number, which earlier versions refuse.
"""

from __future__ import annotations

import msgspec

from agent.arbiters.contract import Record
from agent.core.ids import HierarchyId

FORMAT = 1


class Unreadable(ValueError):
    """These bytes are no record of this hierarchy; says why."""


class _Head(msgspec.Struct, frozen=True):
    kagemusha: int


class _Document(msgspec.Struct, frozen=True):
    kagemusha: int
    record: Record


def encode(record: Record) -> bytes:
    """The record's document."""
    return msgspec.json.encode(_Document(FORMAT, record))


def decode(content: bytes, hierarchy: HierarchyId) -> Record:
    """The record in a document; raises Unreadable."""
    try:
        written_in = msgspec.json.decode(content, type=_Head).kagemusha
        if written_in != FORMAT:
            raise Unreadable(f"it has format {written_in}, and this version of kage reads format {FORMAT}")
        record = msgspec.json.decode(content, type=_Document).record
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"it is damaged or no record of kage: {error}") from error
    if record.register.hierarchy != hierarchy:
        raise Unreadable(f"it is the record of another hierarchy, {record.register.hierarchy}")
    return record
