"""docs/reference/events.md: every kind of notice, in the words that notices themselves use."""

from __future__ import annotations

from agent.core.effects import Kind
from agent.notify.words import WORDS
from tests.docs.alarms import raised

INTRODUCTION = """\
# Events

Written from the code by `make reference`; a test compares the two.

Every kind of notice in `kage events`, in [messages](../notices.md) and for the filters `notices = […]`.
Those with a link can be alarms; [alarms.md](../alarms.md) says what to do about each.

| kind | what happened | what the cluster does by itself |
|---|---|---|
"""


def page() -> str:
    """The whole page, in the order of the names."""
    return INTRODUCTION + "".join(f"{_row(kind)}\n" for kind in sorted(WORDS, key=lambda kind: kind.value))


def _row(kind: Kind) -> str:
    name = f"`{kind.value}`"
    if kind in raised():
        name = f"[{name}](../alarms.md#{kind.value})"
    return f"| {name} | {WORDS[kind].happened} | {WORDS[kind].did} |"
