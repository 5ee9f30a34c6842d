"""Which kinds of notice can be alarms is found in the source, however they are raised."""

from __future__ import annotations

import ast

import pytest

from agent.core.effects import Kind
from agent.notify.words import NOTHING, WORDS
from tests.docs.alarms import raised, raised_in


def test_what_can_be_an_alarm_says_what_is_left_to_do() -> None:
    assert [kind for kind in raised() if WORDS[kind].left == NOTHING] == []


def kinds(source: str) -> set[Kind]:
    return set(raised_in(ast.parse(source)))


def test_an_alarm_is_found_however_it_is_raised() -> None:
    assert kinds("def f(): tell(Kind.PAUSED, Severity.ALARM, '')") == {Kind.PAUSED}
    assert kinds("def f(): tell(kind=Kind.PAUSED, severity=Severity.ALARM if x else y)") == {Kind.PAUSED}
    assert kinds("def f():\n s = Severity.ALARM if x else Severity.INFO\n tell(Kind.PAUSED, s)") == {
        Kind.PAUSED
    }
    assert kinds("def f(): tell(Kind.PAUSED, Severity.WARNING)") == set()
    with pytest.raises(ValueError, match="without a Kind"):
        kinds("def f(): tell(kind, Severity.ALARM)")
